package aiproxy_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gibbon-gateway/gibbon/schema"
)

// TestSchema checks that the control plane completes and judges configurations
// as Kong does.
func TestSchema(t *testing.T) {
	catalogue, err := schema.Load(schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, ok := catalogue.Plugin("ai-proxy")
	if !ok {
		t.Fatal("the catalogue has no ai-proxy")
	}
	complete := func(t *testing.T, text string) schema.Document {
		t.Helper()
		doc, err := schema.ParseObject([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return s.Complete(doc, time.Unix(0, 0))
	}
	t.Run("defaults", func(t *testing.T) {
		doc := complete(t, `{"route_type":"llm/v1/chat","model":{"provider":"openai","options":{"max_tokens":512}}}`)
		for path, want := range map[string]string{
			"response_streaming": `"allow"`, "max_request_body_size": "1048576", "model_name_header": "true", "llm_format": `"openai"`,
		} {
			if got := doc.Get(path).String(); got != want {
				t.Errorf("%s = %s, want %s", path, got, want)
			}
		}
		if got, want := doc.Get("logging").String(), `{"log_statistics":false,"log_payloads":false}`; got != want {
			t.Errorf("logging = %s, want %s", got, want)
		}
		if got, want := doc.Get("model", "options", "azure_api_version").String(), `"2023-05-15"`; got != want {
			t.Errorf("azure_api_version = %s, want %s", got, want)
		}
		if !doc.Get("auth").IsNull() {
			t.Errorf("auth = %s, want null", doc.Get("auth"))
		}
		if err := s.Validate(doc, schema.Insert); err != nil {
			t.Errorf("valid configuration: %v", err)
		}
	})
	for _, tt := range []struct{ name, config, want string }{
		{"half a header", `{"route_type":"llm/v1/chat","auth":{"header_name":"a"},"model":{"provider":"openai"}}`,
			`{"@entity":["all or none of these fields must be set: 'auth.header_name', 'auth.header_value'"]}`},
		{"llama2", `{"route_type":"llm/v1/chat","model":{"provider":"llama2","options":{"upstream_url":"http://a"}}}`,
			`{"@entity":["must set 'model.options.llama2_format' for llama2 provider"]}`},
		{"self-hosted", `{"route_type":"llm/v1/chat","model":{"provider":"llama2","options":{"llama2_format":"raw"}}}`,
			`{"@entity":["must set 'model.options.upstream_url' for self-hosted providers/models"]}`},
		{"azure", `{"route_type":"llm/v1/chat","model":{"provider":"azure","options":{"azure_instance":"i"}}}`,
			`{"@entity":["must set 'model.options.azure_deployment_id' for azure provider"]}`},
		{"override", `{"route_type":"llm/v1/chat","auth":{"allow_override":true},"model":{"provider":"gemini"}}`,
			`{"@entity":["bedrock and gemini only support auth.allow_override = false"]}`},
		{"statistics", `{"route_type":"llm/v1/completions","logging":{"log_statistics":true},"model":{"provider":"anthropic","options":{"anthropic_version":"v"}}}`,
			`{"@entity":["anthropic does not support statistics when route_type is llm/v1/completions"]}`},
		{"ranges", `{"route_type":"llm/v1/chat","max_request_body_size":-1,"model":{"provider":"openai","options":{"temperature":5.1,"top_k":501,"input_cost":0}}}`,
			`{"max_request_body_size":"value must be greater than -1","model":{"options":{"temperature":"value should be between 0 and 5","top_k":"value should be between 0 and 500","input_cost":"value must be greater than 0"}}}`},
		{"missing", `{}`, `{"route_type":"required field missing","model":{"provider":"required field missing"}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			violation, ok := errors.AsType[*schema.ViolationError](s.Validate(complete(t, tt.config), schema.Insert))
			if !ok {
				t.Fatal("the configuration is valid")
			}
			want, err := schema.Parse([]byte(tt.want))
			if err != nil {
				t.Fatal(err)
			}
			if got := violation.Document(); !schema.Equal(got, want) {
				t.Errorf("(-want +got):\n%s", cmp.Diff(want.String(), got.String()))
			}
		})
	}
	// What a native format asks of the provider is judged on the plugin as a whole.
	t.Run("native format", func(t *testing.T) {
		entity, ok := catalogue.Entity("plugins")
		if !ok {
			t.Fatal("the catalogue has no plugins")
		}
		doc, err := schema.ParseObject([]byte(`{"name":"ai-proxy","config":{"route_type":"llm/v1/chat","llm_format":"bedrock","model":{"provider":"openai"}}}`))
		if err != nil {
			t.Fatal(err)
		}
		err = entity.Validate(entity.Complete(doc, time.Unix(0, 0)), schema.Insert)
		violation, ok := errors.AsType[*schema.ViolationError](err)
		if !ok {
			t.Fatalf("the plugin is valid: %v", err)
		}
		const want = `["native llm_format 'bedrock' can only be used with the 'bedrock' model.provider"]`
		if got := violation.Document().Get("@entity").String(); got != want {
			t.Errorf("@entity = %s, want %s", got, want)
		}
	})
}
