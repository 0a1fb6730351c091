package target

import (
	"fmt"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// wording is how Kong words the failures of one provider's calls.
type wording struct {
	reasons bool   // a reason is told
	suffix  string // behind the kind of calls
	lacking string // before the provider's name, when it has no such calls
	format  string // then behind the kind of calls; may be empty
}

// wordingOf is the wording that Kong's driver of a provider has.
func wordingOf(name string, options *pluginpb.AiModelOptions) wording {
	w := wording{lacking: "no transformer for"}
	switch name {
	case "bedrock", "gemini":
		w.reasons = true
	case "llama2":
		w.suffix = "/" + options.GetLlama2Format()
	case "mistral":
		w.lacking, w.format = "no transformer available to format", "/"+options.GetMistralFormat()
	}
	return w
}

// failed is what a caller is told whose call cannot be written for the provider.
func (w *wording) failed(name string, route llm.Route, err error) string {
	text := fmt.Sprintf("error transforming to %s://%s%s", name, route, w.suffix)
	if w.reasons {
		text += ": " + err.Error()
	}
	return text
}

// none is what a caller is told when the provider has no such calls.
func (w *wording) none(name string, route llm.Route) string {
	return fmt.Sprintf("%s %s://%s%s", w.lacking, name, route, w.format)
}
