package aiproxy

import (
	"math"
	"strconv"
	"strings"
	"time"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// loggedPayload is the most of a body that goes into a log line, in bytes.
const loggedPayload = 1 << 20

// Log writes the ai block of the log object, under the name that Kong gives it
// since 3.10. Counts and names are always there; bodies only with log_payloads,
// since they are what must not leak.
func (h *Handler) Log(r *plugin.Request) {
	c := h.of(r)
	if c == nil {
		return
	}
	if c.stream.unpacker != nil {
		c.stream.unpacker.close()
	}
	if c.Streams && c.answered && c.Route != llm.Preserve {
		if c.Usage.Input != llm.Reported {
			c.Usage.EstimateInput(llm.EstimatePrompt(c.words, true))
		}
		c.Usage.EstimateOutput(llm.EstimateCompletion(c.stream.length.Len()))
	}
	latency, known := c.latency(r)
	r.Log.Set(h.meta(c, latency, known), "ai", "proxy", "meta")
	if c.answered && c.Usage.Source() != llm.Unknown {
		r.Log.Set(h.usage(r, c, latency), "ai", "proxy", "usage")
	}
	if !h.logPayload {
		return
	}
	if c.requestLogged != nil {
		r.Log.Set(c.requestLogged, "ai", "proxy", "payload", "request")
	}
	if c.Streams && c.answered {
		c.answerLogged = h.loggable(c.joined())
	}
	if c.answerLogged != nil {
		r.Log.Set(c.answerLogged, "ai", "proxy", "payload", "response")
	}
}

// latency is how long the model took: until the whole answer was there.
func (c *call) latency(r *plugin.Request) (time.Duration, bool) {
	if !c.latencyKnown || r.Record.Dialled.IsZero() {
		return 0, false
	}
	return max(c.done.Sub(r.Record.Dialled), 0), true
}

// model is the model that answered, as far as it is known.
func (c *call) model() string {
	if c.ResponseModel != "" {
		return c.ResponseModel
	}
	return c.RequestModel
}

func (h *Handler) meta(c *call, latency time.Duration, known bool) []byte {
	out := make([]byte, 0, 256)
	out = append(out, `{"plugin_id":`...)
	out = plugin.AppendString(out, h.env.ID)
	out = append(out, `,"provider_name":`...)
	out = plugin.AppendString(out, h.providerName)
	out = append(out, `,"request_model":`...)
	out = plugin.AppendString(out, c.RequestModel)
	out = append(out, `,"response_model":`...)
	out = plugin.AppendString(out, c.model())
	if c.Streams {
		out = append(out, `,"request_mode":"stream"`...)
	} else {
		out = append(out, `,"request_mode":"oneshot"`...)
	}
	if known {
		out = append(out, `,"llm_latency":`...)
		out = strconv.AppendInt(out, latency.Milliseconds(), 10)
	}
	return append(out, '}')
}

func (h *Handler) usage(r *plugin.Request, c *call, latency time.Duration) []byte {
	u := &c.Usage
	out := make([]byte, 0, 256)
	out = append(out, `{"prompt_tokens":`...)
	out = strconv.AppendInt(out, u.Prompt(), 10)
	out = append(out, `,"completion_tokens":`...)
	out = strconv.AppendInt(out, u.Completion(), 10)
	out = append(out, `,"total_tokens":`...)
	out = strconv.AppendInt(out, u.Total(), 10)
	out = llm.AppendOpenAIUsageDetails(out, u)
	perToken := 0.0
	if n := u.Completion(); n > 0 {
		perToken = float64(latency.Milliseconds()) / float64(n)
	}
	out = append(out, `,"time_per_token":`...)
	out = strconv.AppendFloat(out, perToken, 'f', -1, 64)
	if !c.firstToken.IsZero() && !r.Record.Dialled.IsZero() {
		out = append(out, `,"time_to_first_token":`...)
		out = strconv.AppendInt(out, max(c.firstToken.Sub(r.Record.Dialled), 0).Milliseconds(), 10)
	}
	out = append(out, `,"cost":`...)
	out = strconv.AppendFloat(out, h.prices.cost(u), 'f', -1, 64)
	// Kong does not tell guesses from counts; money that was guessed should be
	// known as such.
	out = append(out, `,"source":"`...)
	out = append(out, u.Source().String()...)
	return append(out, '"', '}')
}

// loggable is a body as a JSON string, cut where it is too long.
func (h *Handler) loggable(body []byte) []byte {
	return llm.AppendQuoted(nil, body[:min(len(body), loggedPayload)])
}

// prices are what a million tokens cost.
type prices struct {
	known         bool
	input, output float64
	read, write   float64
	windows       []window
	tiers         []tier
}

type window struct {
	above         int64
	input, output float64
}

type tier struct {
	word   string
	factor float64
}

// newPrices reads the configured prices; without both of them nothing is priced.
func newPrices(options *pluginpb.AiModelOptions) prices {
	if options == nil || options.InputCost == nil || options.OutputCost == nil {
		return prices{}
	}
	p := prices{known: true, input: options.GetInputCost(), output: options.GetOutputCost()}
	// Tokens of the cache cost what others do unless they have a price.
	p.read, p.write = p.input, p.input
	if options.CacheReadCost != nil {
		p.read = options.GetCacheReadCost()
	}
	if options.CacheWriteCost != nil {
		p.write = options.GetCacheWriteCost()
	}
	for _, w := range options.GetContextWindowFactor() {
		above, err := strconv.ParseInt(strings.TrimSpace(w.GetAbove()), 10, 64)
		if err != nil {
			continue // the schema takes any text; one that is no number is never reached
		}
		p.windows = append(p.windows, window{above: above, input: w.GetInputFactor(), output: w.GetOutputFactor()})
	}
	for _, t := range options.GetServiceTierFactor() {
		p.tiers = append(p.tiers, tier{word: strings.ToLower(t.GetTier()), factor: t.GetFactor()})
	}
	return p
}

// cost is what a call cost, 0 when there are no prices.
func (p *prices) cost(u *llm.Usage) float64 {
	if !p.known {
		return 0
	}
	cached := float64(u.CacheRead.N())*p.read + float64(u.CacheWrite.N())*p.write
	input := float64(u.Prompt()-u.CacheRead.N()-u.CacheWrite.N())*p.input + cached
	output := float64(u.Completion()) * p.output
	// Of several thresholds the highest that is passed counts.
	passed := int64(math.MinInt64)
	inputFactor, outputFactor := 1.0, 1.0
	for _, w := range p.windows {
		if u.Prompt() > w.above && w.above > passed {
			passed, inputFactor, outputFactor = w.above, w.input, w.output
		}
	}
	return (input*inputFactor + output*outputFactor) * p.tierFactor(u.Tier) / 1_000_000
}

// tierFactor is the factor of the longest configured word that the reported tier
// contains; fast is another name of priority.
func (p *prices) tierFactor(reported string) float64 {
	reported = strings.ToLower(reported)
	longest, factor := 0, 1.0
	for _, t := range p.tiers {
		found := strings.Contains(reported, t.word) || t.word == "priority" && strings.Contains(reported, "fast")
		if found && len(t.word) > longest {
			longest, factor = len(t.word), t.factor
		}
	}
	return factor
}
