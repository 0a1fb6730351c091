package provider

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// errBedrockRegion is Kong's text.
var errBedrockRegion = errors.New("AWS region not specified anywhere")

// Endpoint is the address of a model in a region, or that of another of Bedrock's
// calls where the caller asked for one.
func (b *Bedrock) Endpoint(call *Call) (Endpoint, error) {
	service, path, err := bedrockPath(call)
	if err != nil {
		return Endpoint{}, err
	}
	host, err := bedrockHost(service, call.Options.GetBedrock().GetAwsRegion())
	if err != nil && call.Options.GetUpstreamUrl() == "" {
		return Endpoint{}, err
	}
	return Endpoint{Scheme: "https", Host: host, Port: 443, Path: path}, nil
}

func bedrockHost(service, region string) (string, error) {
	region = cmp.Or(region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	if region == "" {
		return "", errBedrockRegion
	}
	for _, c := range []byte(region) {
		// A region may come from a placeholder, and must not become another host.
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return "", &CallError{Message: fmt.Sprintf("AWS region %q is none", region)}
		}
	}
	domain := ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		domain += ".cn"
	}
	return service + "." + region + domain, nil
}

// bedrockOperations are the calls to a model, by the ends of their paths.
var bedrockOperations = map[string]bool{
	"converse": true, "converse-stream": true, "invoke": true, "invoke-with-response-stream": true,
}

// bedrockServices are the services that run the calls to something else than a
// model, by the beginnings of their paths.
var bedrockServices = map[string]string{
	"retrieveAndGenerate":       "bedrock-agent-runtime",
	"retrieveAndGenerateStream": "bedrock-agent-runtime",
	"rerank":                    "bedrock-agent-runtime",
	"async-invoke":              "bedrock-runtime",
	"model-invocations":         "bedrock",
	"model-invocation-job":      "bedrock",
	"model-invocation-jobs":     "bedrock",
}

// bedrockPath is the path of a call, and the service that runs it.
func bedrockPath(call *Call) (service, path string, err error) {
	const runtime = "bedrock-runtime"
	if call.Route == llm.Preserve && call.Operation == "" {
		return runtime, "", nil
	}
	operation := "converse"
	switch {
	case call.Operation != "":
		tail, _, _ := strings.Cut(strings.TrimLeft(call.Operation, "/"), "?")
		first, _, _ := strings.Cut(tail, "/")
		if service, ok := bedrockServices[first]; ok {
			path = "/" + tail
			for segment := range strings.SplitSeq(tail, "/") {
				plain, err := url.PathUnescape(segment)
				if err != nil {
					return "", "", &CallError{Message: "path of the call is malformed"}
				}
				if _, err := bedrockSegment("path of the call", plain); err != nil {
					return "", "", err
				}
			}
			return service, path, nil
		}
		operation = tail[strings.LastIndexByte(tail, '/')+1:]
		if !bedrockOperations[operation] {
			return "", "", &CallError{Message: "call is none of Bedrock's"}
		}
	case call.Route == llm.Embeddings:
		operation = "invoke"
	case call.Streams:
		operation = "converse-stream"
	}
	model, err := bedrockSegment("model", call.Model)
	if err != nil {
		return "", "", err
	}
	return runtime, "/model/" + model + "/" + operation, nil
}

// bedrockSegment escapes one segment of a path as AWS does: all but letters,
// digits and four marks, so that the colon of a model's name is escaped as well
// as the slash of an ARN.
func bedrockSegment(what, value string) (string, error) {
	if value == "" || value == "." || value == ".." {
		return "", &CallError{Message: fmt.Sprintf("%s cannot be %q", what, value)}
	}
	out := make([]byte, 0, len(value)+16)
	for i := range len(value) {
		c := value[i]
		switch {
		case c < 0x20 || c == 0x7f:
			return "", &CallError{Message: what + " holds a control character"}
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~':
			out = append(out, c)
		default:
			out = append(out, '%', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
		}
	}
	return string(out), nil
}
