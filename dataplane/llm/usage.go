package llm

// Tokens is a number of tokens, or the knowledge that nobody said it: a detail
// that a provider leaves out is unknown and not 0. The zero value is unknown.
type Tokens struct {
	count int64
	known bool
}

// Count makes a known number; below 0 it is 0, since buckets that were subtracted
// from each other must not go negative.
func Count(n int64) Tokens { return Tokens{count: max(n, 0), known: true} }

// N is the number, 0 when it is unknown.
func (t Tokens) N() int64 { return t.count }

// Known says whether somebody said the number.
func (t Tokens) Known() bool { return t.known }

// Source says where token counts come from.
type Source uint8

// Counts are unknown, guessed by the gateway, or said by the provider.
const (
	Unknown Source = iota
	Estimated
	Reported
)

// String is the source as logs show it.
func (s Source) String() string {
	switch s {
	case Reported:
		return "reported"
	case Estimated:
		return "estimated"
	}
	return "unknown"
}

// Usage is what a call used, in disjoint buckets: no token is in two of them, and
// every total is a sum. Money is derived from it and is never the only record.
type Usage struct {
	// Input and Output say where the buckets of the prompt and of the answer come
	// from.
	Input, Output Source
	// Fresh is input that was neither read from nor written to the provider's
	// cache; CacheRead and CacheWrite are what was.
	Fresh, CacheRead, CacheWrite Tokens
	// CacheWriteLong is the part of CacheWrite that is to be kept for an hour and
	// not for minutes, which costs more; it is in no sum.
	CacheWriteLong Tokens
	// AudioIn and ImageIn are input that is no text.
	AudioIn, ImageIn Tokens
	// Answer is output without the parts below.
	Answer, Reasoning, AudioOut Tokens
	// AcceptedPrediction and RejectedPrediction say how a predicted output fared;
	// they are part of the buckets above and in no sum.
	AcceptedPrediction, RejectedPrediction Tokens
	// Tier is the service tier that the provider reports. May be empty.
	Tier string
}

// Prompt is all input.
func (u *Usage) Prompt() int64 {
	return u.Fresh.count + u.CacheRead.count + u.CacheWrite.count + u.AudioIn.count + u.ImageIn.count
}

// Completion is all output.
func (u *Usage) Completion() int64 {
	return u.Answer.count + u.Reasoning.count + u.AudioOut.count
}

// Total is input and output.
func (u *Usage) Total() int64 { return u.Prompt() + u.Completion() }

// EstimateInput sets the input to a guess, unless it was reported.
func (u *Usage) EstimateInput(tokens int64) {
	if u.Input != Reported {
		u.Input, u.Fresh = Estimated, Count(tokens)
	}
}

// EstimateOutput sets the output to a guess, unless it was reported.
func (u *Usage) EstimateOutput(tokens int64) {
	if u.Output != Reported {
		u.Output, u.Answer = Estimated, Count(tokens)
	}
}

// Source is the weaker of the two sources.
func (u *Usage) Source() Source { return min(u.Input, u.Output) }

var (
	openAIUsage = NewLenientNames("prompt_tokens", "completion_tokens", "total_tokens",
		"prompt_tokens_details", "completion_tokens_details", "prompt_cache_hit_tokens")
	openAIPromptDetails     = NewLenientNames("cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens")
	openAICompletionDetails = NewLenientNames("reasoning_tokens", "audio_tokens",
		"accepted_prediction_tokens", "rejected_prediction_tokens")
)

// ReadOpenAIUsage reads the usage member of an answer in OpenAI's format. It is
// false when the text is no object or counts neither prompt nor completion.
func ReadOpenAIUsage(text []byte) (Usage, bool) {
	var usage, details Object
	if usage.Read(text, openAIUsage) != nil {
		return Usage{}, false
	}
	prompt, completion, total := usage.tokens(0), usage.tokens(1), usage.tokens(2)
	var u Usage
	if prompt.known {
		u.Input = Reported
		// DeepSeek counts what its cache had beside the prompt and not under it.
		u.CacheRead = usage.tokens(5)
		if usage.Kind(3) == '{' && details.Read(usage.Value(3), openAIPromptDetails) == nil {
			if cached := details.tokens(0); cached.known {
				u.CacheRead = cached
			}
			u.CacheWrite, u.AudioIn, u.ImageIn = details.tokens(1), details.tokens(2), details.tokens(3)
		}
		u.Fresh = Count(prompt.count - u.CacheRead.count - u.CacheWrite.count - u.AudioIn.count - u.ImageIn.count)
	}
	if completion.known {
		u.Output = Reported
		if usage.Kind(4) == '{' && details.Read(usage.Value(4), openAICompletionDetails) == nil {
			u.Reasoning, u.AudioOut = details.tokens(0), details.tokens(1)
			u.AcceptedPrediction, u.RejectedPrediction = details.tokens(2), details.tokens(3)
		}
		answer := completion.count - u.AudioOut.count
		// Some servers count reasoning beside the completion and not inside it; the
		// total tells.
		if beside := u.Reasoning.count > 0 && total.known && total.count == prompt.count+completion.count+u.Reasoning.count; !beside {
			answer -= u.Reasoning.count
		}
		u.Answer = Count(answer)
	}
	return u, prompt.known || completion.known
}

// tokens reads a member that is a whole number.
func (o *Object) tokens(at int) Tokens {
	if c := o.Kind(at); c < '0' || c > '9' {
		return Tokens{}
	}
	n := int64(0)
	for _, c := range o.Value(at) {
		if c < '0' || c > '9' || n > 1<<50 {
			return Tokens{}
		}
		n = n*10 + int64(c-'0')
	}
	return Count(n)
}

// AppendOpenAIUsage appends the usage member that an OpenAI caller understands.
func AppendOpenAIUsage(dst []byte, u *Usage) []byte {
	dst = append(dst, `{"prompt_tokens":`...)
	dst = appendInt(dst, u.Prompt())
	dst = append(dst, `,"completion_tokens":`...)
	dst = appendInt(dst, u.Completion())
	dst = append(dst, `,"total_tokens":`...)
	dst = appendInt(dst, u.Total())
	dst = AppendOpenAIUsageDetails(dst, u)
	return append(dst, '}')
}

// AppendOpenAIUsageDetails appends the members that break the two counts down,
// each with a comma in front; what is unknown is left out.
func AppendOpenAIUsageDetails(dst []byte, u *Usage) []byte {
	dst = appendDetails(dst, `,"prompt_tokens_details":{`,
		detail{"cached_tokens", u.CacheRead}, detail{"cache_write_tokens", u.CacheWrite},
		detail{"audio_tokens", u.AudioIn}, detail{"image_tokens", u.ImageIn})
	return appendDetails(dst, `,"completion_tokens_details":{`,
		detail{"reasoning_tokens", u.Reasoning}, detail{"audio_tokens", u.AudioOut},
		detail{"accepted_prediction_tokens", u.AcceptedPrediction},
		detail{"rejected_prediction_tokens", u.RejectedPrediction})
}

type detail struct {
	name   string
	tokens Tokens
}

func appendDetails(dst []byte, open string, details ...detail) []byte {
	begun := false
	for _, d := range details {
		if !d.tokens.known {
			continue
		}
		if !begun {
			dst = append(dst, open...)
			begun = true
		} else {
			dst = append(dst, ',')
		}
		dst = AppendQuoted(dst, d.name)
		dst = append(dst, ':')
		dst = appendInt(dst, d.tokens.count)
	}
	if begun {
		dst = append(dst, '}')
	}
	return dst
}
