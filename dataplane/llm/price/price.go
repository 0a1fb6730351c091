// Package price says what calls to models cost. Prices come from a model's
// configuration or, where that names none, from a list: the one that is built in,
// or an operator's own (Book).
//
// Money is counted in whole numbers and not in floating point, so that a sum does
// not depend on the order in which it was made.
package price

import (
	"math"
	"math/bits"
	"strconv"
	"strings"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// Money is an amount in millionths of a millionth of the currency of the prices.
// In that unit a price per million tokens with up to six decimals is a whole
// number per token, so tokens times price is exact. Products with a factor are
// rounded to the nearest unit, halves up.
type Money int64

const (
	unit      Money = 1_000_000_000_000
	perToken        = 1_000_000 // units per token, for a price of 1 per million tokens
	maxMoney  Money = math.MaxInt64
	maxFactor       = 1_000_000
	factorOne       = 1_000_000 // factors count millionths
)

// Float is the amount in the currency: the floating point number that is nearest,
// which prints as the exact decimal up to fifteen digits.
func (m Money) Float() float64 { return float64(m) / float64(unit) }

// Prices is what a million tokens of one model cost. It never changes.
type Prices struct {
	input, output Money // per token
	read          Money
	write, long   Money // long: written to be kept for an hour
	windows       []window
	tiers         []tier
}

// window multiplies the prices of calls whose prompt is longer than above tokens.
type window struct {
	above         int64
	input, output uint64
}

// tier multiplies the sum when the tier that is reported contains the word.
type tier struct {
	word   string // lower case
	factor uint64
}

// Configured gives the prices that a model's configuration names; nil when it
// does not name both that of input and that of output, without which Kong prices
// nothing.
func Configured(options *pluginpb.AiModelOptions) *Prices {
	if options == nil || options.InputCost == nil || options.OutputCost == nil {
		return nil
	}
	p := &Prices{input: each(options.GetInputCost()), output: each(options.GetOutputCost())}
	// Tokens of the cache cost what others do unless they have a price.
	p.read, p.write = p.input, p.input
	if options.CacheReadCost != nil {
		p.read = each(options.GetCacheReadCost())
	}
	if options.CacheWriteCost != nil {
		p.write = each(options.GetCacheWriteCost())
	}
	p.long = p.write
	for _, entry := range options.GetCacheWriteCostList() {
		switch seconds(entry.GetTtl()) {
		case 300:
			p.write = each(entry.GetCost())
		case 3600:
			p.long = each(entry.GetCost())
		}
	}
	for _, w := range options.GetContextWindowFactor() {
		above, err := strconv.ParseInt(strings.TrimSpace(w.GetAbove()), 10, 64)
		if err != nil {
			continue // the schema takes any text; one that is no number is never reached
		}
		p.windows = append(p.windows, window{above, factor(w.GetInputFactor()), factor(w.GetOutputFactor())})
	}
	for _, t := range options.GetServiceTierFactor() {
		p.tiers = append(p.tiers, tier{strings.ToLower(t.GetTier()), factor(t.GetFactor())})
	}
	return p
}

// seconds reads a time to live: 5m, 1h, 300s or a bare number of seconds. 0 is
// one that cannot be read.
func seconds(ttl string) int64 {
	ttl = strings.ToLower(strings.TrimSpace(ttl))
	times := int64(1)
	switch {
	case strings.HasSuffix(ttl, "h"):
		times = 3600
	case strings.HasSuffix(ttl, "m"):
		times = 60
	}
	n, err := strconv.ParseInt(strings.TrimRight(ttl, "smh"), 10, 32)
	if err != nil {
		return 0
	}
	return n * times
}

// each is what one token costs at a price per million, rounded to six decimals of
// the price. Prices below 0 and beyond reason are held within bounds.
func each(perMillion float64) Money {
	const most = 1e9
	if !(perMillion > 0) {
		return 0
	}
	return Money(math.Round(min(perMillion, most) * perToken))
}

func factor(f float64) uint64 {
	if !(f > 0) {
		return 0
	}
	return uint64(math.Round(min(f, maxFactor) * factorOne))
}

// Cost is what a call cost. Tokens whose number is not known cost nothing.
func (p *Prices) Cost(u *llm.Usage) Money {
	written, kept := u.CacheWrite.N(), min(u.CacheWriteLong.N(), u.CacheWrite.N())
	input := times(u.Prompt()-u.CacheRead.N()-written, p.input)
	input = plus(input, times(u.CacheRead.N(), p.read))
	input = plus(input, times(written-kept, p.write))
	input = plus(input, times(kept, p.long))
	output := times(u.Completion(), p.output)
	// Of several thresholds the highest that is passed counts.
	passed := int64(math.MinInt64)
	inputFactor, outputFactor := uint64(factorOne), uint64(factorOne)
	for _, w := range p.windows {
		if u.Prompt() > w.above && w.above > passed {
			passed, inputFactor, outputFactor = w.above, w.input, w.output
		}
	}
	sum := plus(input.scaled(inputFactor), output.scaled(outputFactor))
	return sum.scaled(p.tierFactor(u.Tier))
}

// tierFactor is the factor of the longest word that the reported tier contains;
// fast is another name of priority.
func (p *Prices) tierFactor(reported string) uint64 {
	if len(p.tiers) == 0 || reported == "" {
		return factorOne
	}
	reported = strings.ToLower(reported)
	longest, factor := 0, uint64(factorOne)
	for _, t := range p.tiers {
		found := strings.Contains(reported, t.word) || t.word == "priority" && strings.Contains(reported, "fast")
		if found && len(t.word) > longest {
			longest, factor = len(t.word), t.factor
		}
	}
	return factor
}

// times, plus and scaled stop at the largest amount instead of running over.

func times(tokens int64, price Money) Money {
	high, low := bits.Mul64(uint64(max(tokens, 0)), uint64(price))
	if high != 0 || low > uint64(maxMoney) {
		return maxMoney
	}
	return Money(low)
}

func plus(a, b Money) Money {
	if a > maxMoney-b {
		return maxMoney
	}
	return a + b
}

func (m Money) scaled(factor uint64) Money {
	if factor == factorOne {
		return m
	}
	high, low := bits.Mul64(uint64(m), factor)
	low, carry := bits.Add64(low, factorOne/2, 0)
	high += carry
	if high >= factorOne {
		return maxMoney
	}
	if quotient, _ := bits.Div64(high, low, factorOne); quotient <= uint64(maxMoney) {
		return Money(quotient)
	}
	return maxMoney
}
