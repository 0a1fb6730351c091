// Module googleapis pins where google/api/annotations.proto and http.proto
// come from: the last release of the old grpc-gateway carries them as files,
// and no current Go module does. Nothing of it is compiled, so no package
// imports it and "go mod tidy" would drop the line: do not tidy this module.
module github.com/gibbon-gateway/gibbon/tools/googleapis

go 1.26.0

require github.com/grpc-ecosystem/grpc-gateway v1.16.0
