package price

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

func TestConfigured(t *testing.T) {
	for name, options := range map[string]*pluginpb.AiModelOptions{
		"no options":  nil,
		"no prices":   {},
		"input alone": {InputCost: proto.Float64(1)},
	} {
		if p := Configured(options); p != nil {
			t.Errorf("%s: there are prices: %+v", name, p)
		}
	}
}

func TestCost(t *testing.T) {
	plain := &pluginpb.AiModelOptions{InputCost: proto.Float64(10), OutputCost: proto.Float64(10)}
	rich := &pluginpb.AiModelOptions{
		InputCost: proto.Float64(3), OutputCost: proto.Float64(15), CacheReadCost: proto.Float64(0.3), CacheWriteCost: proto.Float64(3.75),
		CacheWriteCostList: []*pluginpb.AiCacheWriteCost{{Ttl: "1h", Cost: 6}, {Ttl: "weird", Cost: 99}},
		ContextWindowFactor: []*pluginpb.AiContextWindowFactor{
			{Above: "1000000", InputFactor: 4, OutputFactor: 4}, {Above: " 200000 ", InputFactor: 2, OutputFactor: 1.5}, {Above: "many", InputFactor: 9, OutputFactor: 9},
		},
		ServiceTierFactor: []*pluginpb.AiServiceTierFactor{{Tier: "Flex", Factor: 0.5}, {Tier: "priority", Factor: 2}, {Tier: "flexible", Factor: 0.25}},
	}
	list := proto.CloneOf(rich)
	list.CacheWriteCostList = []*pluginpb.AiCacheWriteCost{{Ttl: "300", Cost: 4}, {Ttl: "3600s", Cost: 7}}
	n := llm.Count
	for _, tt := range []struct {
		name    string
		options *pluginpb.AiModelOptions
		usage   llm.Usage
		want    string
	}{
		{"Kong's example", plain, llm.Usage{Fresh: n(25), Answer: n(12)}, "0.00037"},
		{"nothing used", plain, llm.Usage{}, "0"},
		{"caches without prices cost what input does", plain, llm.Usage{Fresh: n(1), CacheRead: n(2), CacheWrite: n(3), CacheWriteLong: n(1), Answer: n(4)}, "0.0001"},
		{"every input has its price", rich, llm.Usage{Fresh: n(1000), CacheRead: n(2000), CacheWrite: n(4000), AudioIn: n(10), Answer: n(5), Reasoning: n(5)}, "0.01878"},
		{"an hour in the cache", rich, llm.Usage{CacheWrite: n(1000), CacheWriteLong: n(400)}, "0.00465"},
		{"the list wins", list, llm.Usage{CacheWrite: n(1000), CacheWriteLong: n(400)}, "0.0052"},
		{"more for an hour than was written", rich, llm.Usage{CacheWrite: n(10), CacheWriteLong: n(400)}, "0.00006"},
		{"at the threshold", rich, llm.Usage{Fresh: n(200_000), Answer: n(1000)}, "0.615"},
		{"above the threshold", rich, llm.Usage{Fresh: n(200_001), Answer: n(1000)}, "1.222506"},
		{"above two thresholds", rich, llm.Usage{Fresh: n(1_000_001), Answer: n(1)}, "12.000072"},
		{"tier", rich, llm.Usage{Fresh: n(1000), Tier: "FLEX"}, "0.0015"},
		{"longest word", rich, llm.Usage{Fresh: n(1000), Tier: "very_flexible"}, "0.00075"},
		{"fast is priority", rich, llm.Usage{Fresh: n(1000), Tier: "fast"}, "0.006"},
		{"unknown tier", rich, llm.Usage{Fresh: n(1000), Tier: "default"}, "0.003"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := strconv.FormatFloat(Configured(tt.options).Cost(&tt.usage).Float(), 'f', -1, 64)
			if got != tt.want {
				t.Errorf("cost is %s, want %s", got, tt.want)
			}
		})
	}
}

// The sum is what exact arithmetic gives, whatever the numbers.
func FuzzCost(f *testing.F) {
	f.Add(int64(25), int64(12), int64(10_000_000), int64(37_500), uint32(1_500_000))
	f.Add(int64(math.MaxInt64), int64(1), int64(1), int64(math.MaxInt64), uint32(1))
	f.Fuzz(func(t *testing.T, in, out, input, output int64, tierFactor uint32) {
		if in < 0 || out < 0 || input < 0 || output < 0 || in > math.MaxInt64-out {
			t.Skip()
		}
		p := &Prices{input: Money(input), output: Money(output), tiers: []tier{{"x", uint64(tierFactor)}}}
		got := p.Cost(&llm.Usage{Fresh: llm.Count(in), Answer: llm.Count(out), Tier: "x"})
		most := new(big.Int).SetInt64(math.MaxInt64)
		hold := func(n *big.Int) *big.Int {
			if n.Cmp(most) > 0 {
				return most
			}
			return n
		}
		product := func(a, b int64) *big.Int { return hold(new(big.Int).Mul(big.NewInt(a), big.NewInt(b))) }
		want := hold(new(big.Int).Add(product(in, input), product(out, output)))
		if tierFactor != factorOne {
			want = new(big.Int).Mul(want, big.NewInt(int64(tierFactor)))
			want.Add(want, big.NewInt(factorOne/2)).Div(want, big.NewInt(factorOne))
			want = hold(want)
		}
		if want.Int64() != int64(got) {
			t.Errorf("%d×%d + %d×%d, factor %d: got %d, want %d", in, input, out, output, tierFactor, got, want)
		}
	})
}

func TestBuiltin(t *testing.T) {
	list, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	book := new(Book)
	book.Set(list)
	million := llm.Usage{Fresh: llm.Count(1_000_000)}
	for _, tt := range []struct {
		provider, answered, asked string
		want                      float64 // of a million tokens of input; -1: no prices
	}{
		{"openai", "gpt-4o-2024-08-06", "gpt-4o", 2.5},
		{"openai", "gpt-4o-2024-05-13", "gpt-4o", 5},
		{"openai", "gpt-4o-mini-2024-07-18", "", .15},
		{"azure", "", "GPT-4o", 2.5},
		{"openai", "some-alias", "gpt-4.1", 2},
		{"openai", "gpt-4o-unheard-of", "", -1},
		{"openai", "", "", -1},
		{"anthropic", "claude-sonnet-4-5-20250929", "", 3},
		{"bedrock", "", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", 3},
		{"bedrock", "", "anthropic.claude-opus-4-6-v1", 5},
		{"gemini", "gemini-2.5-pro", "", 2.5}, // a million tokens is long there
		{"ollama", "", "gpt-4o", -1},
	} {
		p := book.Find(tt.provider, tt.answered, tt.asked)
		got := -1.0
		if p != nil {
			got = p.Cost(&million).Float()
		}
		if got != tt.want {
			t.Errorf("%s %q (asked: %q): a million tokens cost %v, want %v", tt.provider, tt.answered, tt.asked, got, tt.want)
		}
	}
	var none *Book
	if none.Find("openai", "gpt-4o", "gpt-4o") != nil || new(Book).Find("openai", "gpt-4o", "") != nil {
		t.Error("a book without a list has prices")
	}
}

func TestParseErrors(t *testing.T) {
	models := func(m string) string { return `{"schema":1,"date":"2026-01-02","currency":"EUR","models":[` + m + `]}` }
	for _, tt := range []struct{ name, text, want string }{
		{"no JSON", "prices", "read JSON"},
		{"cut", `{"schema":1`, "read JSON"},
		{"two", models("") + "{}", "more behind"},
		{"schema", `{"schema":2,"date":"2026-01-02","currency":"EUR"}`, "schema is 2, want 1"},
		{"date", `{"schema":1,"date":"yesterday","currency":"EUR"}`, `date "yesterday"`},
		{"currency", `{"schema":1,"date":"2026-01-02"}`, "currency is missing"},
		{"misspelt", models(`{"providers":["p"],"models":["m"],"input":1,"outptu":2}`), "outptu"},
		{"one price", models(`{"providers":["p"],"models":["m"],"input":1}`), "models[0]: input and output must both be set"},
		{"negative", models(`{"providers":["p"],"models":["m"],"input":1,"output":1,"cache_read":-1}`), "cache_read is below 0"},
		{"no provider", models(`{"models":["m"],"input":1,"output":1}`), "providers is missing"},
		{"no model", models(`{"providers":["p"],"input":1,"output":1}`), "models is missing"},
		{"empty name", models(`{"providers":["p"],"models":[""],"input":1,"output":1}`), "empty name"},
		{"twice", models(`{"providers":["p"],"models":["m"],"input":1,"output":1},{"providers":["p"],"models":["M"],"input":1,"output":1}`), `models[1]: p "m" has prices already`},
		{"tier", models(`{"providers":["p"],"models":["m"],"input":1,"output":1,"tiers":[{"tier":"x"}]}`), "tiers needs"},
		{"window", models(`{"providers":["p"],"models":["m"],"input":1,"output":1,"above":[{"tokens":5}]}`), "above needs"},
		{"too long", strings.Repeat(" ", MaxFile+1), "longer than"},
	} {
		if _, err := Parse([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error is %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

func TestFits(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"a", "A", true},
		{"a", "ab", false},
		{"a*", "a", true},
		{"*b", "aab", true},
		{"a*b*c", "axxbxxc", true},
		{"a*b*c", "axxbxx", false},
		{"*", "", true},
		{"", "x", false},
		{"a*ab", "aab", true},
	} {
		if got := fits(tt.pattern, tt.name); got != tt.want {
			t.Errorf("fits(%q, %q) = %v, want %v", tt.pattern, tt.name, got, tt.want)
		}
	}
}
