package provider

import (
	"errors"
	"net/url"
	"strings"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Azure is Azure's OpenAI service: OpenAI's format at an instance of one's own,
// where the path names the deployment that answers.
type Azure struct{ *OpenAI }

var _ PathOwner = (*Azure)(nil)

// azureVersion is Kong's default of the API's version.
const azureVersion = "2023-05-15"

// azureDeployed are the paths behind a deployment's, and azurePaths those that
// need none.
var (
	azureDeployed = map[llm.Route]string{
		llm.Chat:        "/chat/completions",
		llm.Completions: "/completions",
		llm.Embeddings:  "/embeddings",
	}
	azurePaths = map[llm.Route]string{
		llm.Files:          "/openai/files",
		llm.Batches:        "/openai/batches",
		llm.Assistants:     "/openai/assistants",
		llm.Responses:      "/openai/v1/responses",
		llm.Speech:         "/openai/audio/speech",
		llm.Transcriptions: "/openai/audio/transcriptions",
		llm.Translations:   "/openai/audio/translations",
		llm.Images:         "/openai/images/generations",
		llm.ImageEdits:     "/openai/images/edits",
		llm.Videos:         "/openai/v1/video/generations/jobs",
		llm.Realtime:       "/openai/realtime",
		llm.Preserve:       "",
	}
	azure = &Azure{&OpenAI{name: "azure", countsWhen: azureCounts}}
)

// Format is OpenAI's for all that the service runs.
func (a *Azure) Format(route llm.Route) (llm.Format, bool) {
	_, deployed := azureDeployed[route]
	_, plain := azurePaths[route]
	return llm.OpenAI, deployed || plain
}

// Endpoint is the configured instance. The version of the API is the caller's
// where it names one.
func (a *Azure) Endpoint(call *Call) (Endpoint, error) {
	options := call.Options
	at := Endpoint{Scheme: "https", Port: 443, Query: azureQuery(call)}
	if options.GetUpstreamUrl() == "" {
		instance := options.GetAzureInstance()
		if instance == "" {
			return Endpoint{}, errors.New("azure_instance must be set for azure provider")
		}
		// A request may have a say in the option. It must not choose another host.
		for _, c := range []byte(instance) {
			switch {
			case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-':
			default:
				return Endpoint{}, errors.New("azure_instance is no part of a host name")
			}
		}
		at.Host = instance + ".openai.azure.com"
	}
	if tail, ok := azureDeployed[call.Route]; ok {
		prefix, err := azurePrefix(options)
		if err != nil && options.GetUpstreamUrl() == "" && options.GetUpstreamPath() == "" {
			return Endpoint{}, err
		}
		at.Path = prefix + tail
	} else {
		at.Path = azurePaths[call.Route]
	}
	return at, nil
}

// azurePrefix is the path of the configured deployment.
func azurePrefix(options *pluginpb.AiModelOptions) (string, error) {
	deployment := options.GetAzureDeploymentId()
	if deployment == "" || deployment == "." || deployment == ".." {
		return "", errors.New("azure_deployment_id must be set for azure provider")
	}
	return "/openai/deployments/" + url.PathEscape(deployment), nil
}

// ConfiguredPath puts a configured path behind that of the deployment, unless it
// is one of the service's from its root on.
func (a *Azure) ConfiguredPath(call *Call, path string, whole bool) string {
	if whole || path == "/openai" || strings.HasPrefix(path, "/openai/") {
		return path
	}
	prefix, err := azurePrefix(call.Options)
	if err != nil {
		return path
	}
	return prefix + path
}

// azureQuery names the version of the API. The newer paths have none; those that
// are not settled yet have a word for it.
func azureQuery(call *Call) string {
	options := call.Options
	for _, path := range []string{options.GetUpstreamUrl(), options.GetUpstreamPath()} {
		if strings.Contains(path, "/openai/v1/") {
			return ""
		}
	}
	if options.GetUpstreamUrl() == "" && options.GetUpstreamPath() == "" && strings.HasPrefix(azurePaths[call.Route], "/openai/v1/") {
		return "api-version=preview"
	}
	return "api-version=" + url.QueryEscape(azureVersionOf(options))
}

func azureVersionOf(options *pluginpb.AiModelOptions) string {
	if v := options.GetAzureApiVersion(); v != "" {
		return v
	}
	return azureVersion
}

// azureCounts says whether a version of the API knows stream_options. Kong's
// default is older.
func azureCounts(options *pluginpb.AiModelOptions) bool {
	v := azureVersionOf(options)
	// A word, such as preview or latest, is the newest.
	return v[0] < '0' || v[0] > '9' || v >= "2024-09-01"
}
