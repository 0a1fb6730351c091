package provider

import (
	"fmt"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"
)

// formats is a vendor whose servers speak one of several formats, of which the
// configuration names one.
type formats struct {
	// Provider answers for the vendor where the format does not matter.
	Provider
	// option is the option that names the format, chosen reads it, and of has the
	// provider for each of its values.
	option string
	chosen func(*pluginpb.AiModelOptions) string
	of     map[string]Provider
}

var _ Variant = (*formats)(nil)

// Of gives the provider that speaks the configured format.
func (f *formats) Of(options *pluginpb.AiModelOptions) (Provider, error) {
	if p, ok := f.of[f.chosen(options)]; ok {
		return p, nil
	}
	return nil, fmt.Errorf("must set 'model.options.%s' for %s provider", f.option, f.Name())
}

// The vendors whose models run on servers of several kinds.
var (
	llama2 = &formats{
		Provider: llama2OpenAI,
		option:   "llama2_format",
		chosen:   (*pluginpb.AiModelOptions).GetLlama2Format,
		of: map[string]Provider{
			"openai": llama2OpenAI,
			"ollama": newOllama("llama2", ""),
			"raw":    &llama2Raw{nativePass("llama2")},
		},
	}
	mistral = &formats{
		Provider: mistralOpenAI,
		option:   "mistral_format",
		chosen:   (*pluginpb.AiModelOptions).GetMistralFormat,
		of: map[string]Provider{
			"openai": mistralOpenAI,
			"ollama": newOllama("mistral", "api.mistral.ai"),
		},
	}
)
