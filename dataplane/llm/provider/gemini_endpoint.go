package provider

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

const geminiHost = "generativelanguage.googleapis.com"

// Endpoint is the public API's address, or Vertex AI's where the configuration
// names a project there. The configured project, place and model always stand in
// the path, whatever a caller's path said.
func (g *Gemini) Endpoint(call *Call) (Endpoint, error) {
	to := Endpoint{Scheme: "https", Host: geminiHost, Port: 443}
	options := call.Options.GetGemini()
	root := ""
	if options.GetApiEndpoint() != "" {
		var err error
		if to.Host, to.Port, err = geminiAddress(options.GetApiEndpoint()); err != nil {
			return Endpoint{}, err
		}
		project, err := geminiSegment("project", options.GetProjectId())
		if err != nil {
			return Endpoint{}, err
		}
		location, err := geminiSegment("location", options.GetLocationId())
		if err != nil {
			return Endpoint{}, err
		}
		root = "/v1/projects/" + project + "/locations/" + location
	}
	if call.Route == llm.Preserve {
		return to, nil // the caller's own path
	}
	verb, publisher := "", "google"
	if call.Format == llm.Gemini && call.Operation != "" {
		tail, err := geminiTail(call.Operation)
		if err != nil {
			return Endpoint{}, err
		}
		var asked string
		publisher, asked = geminiPublisher(tail)
		if verb = geminiVerb(asked); verb == "" {
			switch {
			case root != "":
				to.Path = root + "/" + tail
			case strings.HasPrefix(call.Operation, "/v1") || strings.HasPrefix(call.Operation, "/upload/"):
				to.Path = call.Operation
			default:
				to.Path = "/v1beta/" + tail
			}
			return to, nil
		}
	} else {
		verb, to.Query = geminiAsk(call, root != "")
		if call.Options.GetUpstreamUrl() != "" {
			to.Query = "" // the operator's own address has what it needs
		}
	}
	if id := options.GetEndpointId(); id != "" && root != "" {
		endpoint, err := geminiSegment("endpoint", id)
		if err != nil {
			return Endpoint{}, err
		}
		to.Path = root + "/endpoints/" + endpoint + ":" + verb
		return to, nil
	}
	model, err := geminiSegment("model", strings.TrimPrefix(call.Model, "models/"))
	if err != nil {
		return Endpoint{}, err
	}
	if root == "" {
		to.Path = "/v1beta/models/" + model + ":" + verb
	} else {
		to.Path = root + "/publishers/" + publisher + "/models/" + model + ":" + verb
	}
	return to, nil
}

// geminiAsk is the method that runs a call, and the query that it wants. An
// answer streams as one JSON array unless events are asked for; both are read,
// and events need no bracket to tell where one ends.
func geminiAsk(call *Call, vertex bool) (verb, query string) {
	switch {
	case call.Route == llm.Embeddings && vertex:
		return "predict", ""
	case call.Route == llm.Embeddings:
		return "batchEmbedContents", ""
	case call.Streams && call.Format != llm.Gemini:
		return "streamGenerateContent", "alt=sse"
	case call.Streams:
		return "streamGenerateContent", ""
	}
	return "generateContent", ""
}

// geminiTail is what a path says behind the version of the API and, in Vertex
// AI's form, behind the project and its place: models/m:generateContent. Paths
// with steps in them are refused.
func geminiTail(operation string) (string, error) {
	segments := strings.Split(strings.TrimPrefix(operation, "/"), "/")
	for i, segment := range segments {
		plain, err := url.PathUnescape(segment)
		if err != nil || plain == "." || plain == ".." || plain == "" ||
			strings.ContainsAny(plain, `/\`) || strings.ContainsFunc(plain, geminiControl) || i > 20 {
			return "", &CallError{Message: "path cannot be used in an address"}
		}
	}
	if len(segments) > 1 && strings.HasPrefix(segments[0], "v1") {
		segments = segments[1:]
	}
	if len(segments) > 4 && segments[0] == "projects" && segments[2] == "locations" {
		segments = segments[4:]
	}
	return strings.Join(segments, "/"), nil
}

// geminiPublisher splits off whose model a path asks for; Google's where it does
// not say.
func geminiPublisher(tail string) (publisher, rest string) {
	rest, ok := strings.CutPrefix(tail, "publishers/")
	if publisher, rest, named := strings.Cut(rest, "/"); ok && named {
		return publisher, rest
	}
	return "google", tail
}

// geminiVerb is the method of a model that a path asks for; empty when it asks
// for something else than a model.
func geminiVerb(tail string) string {
	kind, named, ok := strings.Cut(tail, "/")
	if !ok || kind != "models" && kind != "endpoints" || strings.Contains(named, "/") {
		return ""
	}
	at := strings.LastIndexByte(named, ':')
	if at < 0 {
		return ""
	}
	verb := named[at+1:]
	for i := range len(verb) {
		if c := verb[i] | 0x20; c < 'a' || c > 'z' {
			return ""
		}
	}
	return verb
}

// geminiSegment escapes a value so that it is one segment of a path. A colon is
// escaped too, for what follows one names the method.
func geminiSegment(what, value string) (string, error) {
	if value == "" || value == "." || value == ".." || strings.ContainsFunc(value, geminiControl) {
		return "", &CallError{Message: fmt.Sprintf("%s %q cannot be used in an address", what, value)}
	}
	return strings.ReplaceAll(url.PathEscape(value), ":", "%3A"), nil
}

func geminiControl(r rune) bool { return r < 0x20 || r == 0x7f }

// geminiAddress reads a host name with or without a port.
func geminiAddress(text string) (host string, port int, err error) {
	host, port = text, 443
	if name, number, ok := strings.Cut(text, ":"); ok {
		if port, err = strconv.Atoi(number); err != nil || port < 1 || port > 65535 {
			return "", 0, &CallError{Message: "api_endpoint is no host name"}
		}
		host = name
	}
	for i := range len(host) {
		switch c := host[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.':
		default:
			return "", 0, &CallError{Message: "api_endpoint is no host name"}
		}
	}
	return host, port, nil
}
