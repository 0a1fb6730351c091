package llm

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadOpenAIUsage(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		ok         bool
		want       string // as an OpenAI caller sees it
		fresh      int64
		answer     int64
	}{
		{"plain", `{"prompt_tokens":25,"completion_tokens":12,"total_tokens":37}`, true,
			`{"prompt_tokens":25,"completion_tokens":12,"total_tokens":37}`, 25, 12},
		{"details", `{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"prompt_tokens_details":{"cached_tokens":60,"audio_tokens":10},"completion_tokens_details":{"reasoning_tokens":30,"accepted_prediction_tokens":1,"rejected_prediction_tokens":0}}`, true,
			`{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"prompt_tokens_details":{"cached_tokens":60,"audio_tokens":10},"completion_tokens_details":{"reasoning_tokens":30,"accepted_prediction_tokens":1,"rejected_prediction_tokens":0}}`, 30, 20},
		{"reasoning beside the completion", `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":22,"completion_tokens_details":{"reasoning_tokens":7}}`, true,
			`{"prompt_tokens":10,"completion_tokens":12,"total_tokens":22,"completion_tokens_details":{"reasoning_tokens":7}}`, 10, 5},
		{"cache hits of deepseek", `{"prompt_tokens":10,"completion_tokens":5,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":6}`, true,
			`{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4}}`, 6, 5},
		{"never below zero", `{"prompt_tokens":1,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":5}}`, true,
			`{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6,"prompt_tokens_details":{"cached_tokens":5}}`, 0, 1},
		{"null details", `{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":null}`, true,
			`{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}`, 1, 2},
		{"no counts", `{"total_tokens":3}`, false, `{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}`, 0, 0},
		{"no whole numbers", `{"prompt_tokens":-1,"completion_tokens":1.5}`, false, `{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}`, 0, 0},
		{"no object", `null`, false, `{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}`, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			usage, ok := ReadOpenAIUsage([]byte(tt.text))
			if ok != tt.ok {
				t.Errorf("ok = %v, want %v", ok, tt.ok)
			}
			if diff := cmp.Diff(tt.want, string(AppendOpenAIUsage(nil, &usage))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if usage.Fresh.N() != tt.fresh || usage.Answer.N() != tt.answer {
				t.Errorf("fresh %d, answer %d, want %d and %d", usage.Fresh.N(), usage.Answer.N(), tt.fresh, tt.answer)
			}
			if ok != (usage.Source() == Reported) {
				t.Errorf("source is %s", usage.Source())
			}
		})
	}
}

func TestUsageEstimates(t *testing.T) {
	var u Usage
	if u.Source() != Unknown || u.Fresh.Known() {
		t.Error("nothing said is not unknown")
	}
	u.EstimateInput(9)
	u.EstimateOutput(4)
	if u.Source() != Estimated || u.Total() != 13 {
		t.Errorf("source %s, total %d", u.Source(), u.Total())
	}
	reported, _ := ReadOpenAIUsage([]byte(`{"prompt_tokens":3,"completion_tokens":2}`))
	reported.EstimateInput(100)
	reported.EstimateOutput(100)
	if reported.Source() != Reported || reported.Total() != 5 {
		t.Errorf("a guess replaced a count: source %s, total %d", reported.Source(), reported.Total())
	}
}
