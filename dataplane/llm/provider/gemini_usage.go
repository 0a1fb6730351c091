package provider

import "github.com/gibbon-gateway/gibbon/dataplane/llm"

var (
	geminiUsageNames = llm.NewLenientNames("promptTokenCount", "cachedContentTokenCount", "toolUsePromptTokenCount",
		"candidatesTokenCount", "thoughtsTokenCount", "promptTokensDetails", "cacheTokensDetails",
		"candidatesTokensDetails", "trafficType", "serviceTier")
	geminiDetailNames = llm.NewLenientNames("modality", "tokenCount")
)

// The places of the names above.
const (
	geminiPrompt = iota
	geminiCached
	geminiToolUse
	geminiCandidatesCount
	geminiThoughts
	geminiPromptDetails
	geminiCacheDetails
	geminiCandidatesDetails
	geminiTraffic
	geminiTier
)

// geminiUsage keeps Google's counts over the pieces of a stream: each piece has
// the counts so far, and what a later one leaves out keeps its earlier value.
type geminiUsage struct {
	prompt, cached, toolUse, candidates, thoughts llm.Tokens
	audioIn, imageIn, audioCached, imageCached    llm.Tokens
	audioOut                                      llm.Tokens
	tier                                          string
}

// read takes the counts of one usageMetadata; it is false when there are none.
func (u *geminiUsage) read(text []byte) bool {
	var o llm.Object
	if o.Read(text, geminiUsageNames) != nil {
		return false
	}
	found := false
	for at, into := range []*llm.Tokens{&u.prompt, &u.cached, &u.toolUse, &u.candidates, &u.thoughts} {
		if n := geminiTokens(&o, at); n.Known() {
			*into, found = n, true
		}
	}
	geminiModalities(o.Value(geminiPromptDetails), &u.audioIn, &u.imageIn)
	geminiModalities(o.Value(geminiCacheDetails), &u.audioCached, &u.imageCached)
	var imageOut llm.Tokens // images are no bucket of their own in answers
	geminiModalities(o.Value(geminiCandidatesDetails), &u.audioOut, &imageOut)
	if tier, ok := o.Text(geminiTraffic); ok {
		u.tier = tier
	} else if tier, ok := o.Text(geminiTier); ok {
		u.tier = tier
	}
	return found
}

// geminiModalities reads how many tokens of a count are no text.
func geminiModalities(details []byte, audio, image *llm.Tokens) {
	if len(details) == 0 || details[0] != '[' {
		return
	}
	llm.Elements(details, func(text []byte) bool {
		var o llm.Object
		if o.Read(text, geminiDetailNames) != nil {
			return true
		}
		switch n := geminiTokens(&o, 1); string(o.Value(0)) {
		case `"AUDIO"`:
			*audio = n
		case `"IMAGE"`:
			*image = n
		}
		return true
	})
}

// usage is the counts in buckets. Google's prompt holds what came from the cache
// and not what its own tools read; its candidates do not hold thoughts.
func (u *geminiUsage) usage() llm.Usage {
	usage := llm.Usage{Tier: u.tier}
	if u.prompt.Known() {
		usage.Input, usage.CacheRead = llm.Reported, u.cached
		if u.audioIn.Known() {
			usage.AudioIn = llm.Count(u.audioIn.N() - u.audioCached.N())
		}
		if u.imageIn.Known() {
			usage.ImageIn = llm.Count(u.imageIn.N() - u.imageCached.N())
		}
		usage.Fresh = llm.Count(u.prompt.N() - u.cached.N() + u.toolUse.N() - usage.AudioIn.N() - usage.ImageIn.N())
	}
	if u.candidates.Known() || u.thoughts.Known() {
		usage.Output, usage.Reasoning, usage.AudioOut = llm.Reported, u.thoughts, u.audioOut
		usage.Answer = llm.Count(u.candidates.N() - u.audioOut.N())
	}
	return usage
}

// geminiTokens reads a member that is a whole number.
func geminiTokens(o *llm.Object, at int) llm.Tokens {
	text := o.Value(at)
	if len(text) == 0 || len(text) > 15 {
		return llm.Tokens{}
	}
	n := int64(0)
	for _, c := range text {
		if c < '0' || c > '9' {
			return llm.Tokens{}
		}
		n = n*10 + int64(c-'0')
	}
	return llm.Count(n)
}
