package provider

import "github.com/gibbon-gateway/gibbon/dataplane/llm"

var (
	openAICountNames = llm.NewLenientNames("input_tokens", "output_tokens", "total_tokens",
		"input_tokens_details", "output_tokens_details", "prompt_tokens", "input_token_details", "output_token_details")
	openAIInputNames  = llm.NewLenientNames("cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens")
	openAIOutputNames = llm.NewLenientNames("reasoning_tokens", "audio_tokens")
)

// openAIReadUsage reads the counts of an answer under either set of names that
// OpenAI's APIs have: prompt and completion, or input and output.
func openAIReadUsage(text []byte) (llm.Usage, bool) {
	var usage, details llm.Object
	if usage.Read(text, openAICountNames) != nil {
		return llm.Usage{}, false
	}
	if usage.Has(5) || !usage.Has(0) {
		u, ok := llm.ReadOpenAIUsage(text)
		if total := openAICount(&usage, 2); ok && u.Output == llm.Unknown && total.Known() && total.N() == u.Prompt() {
			// Vectors have no completion: the prompt is all of the total.
			u.Output, u.Answer = llm.Reported, llm.Count(0)
		}
		return u, ok
	}
	var u llm.Usage
	input, output, total := openAICount(&usage, 0), openAICount(&usage, 1), openAICount(&usage, 2)
	if input.Known() {
		u.Input = llm.Reported
		if openAIDetails(&details, &usage, openAIInputNames, 3, 6) {
			u.CacheRead, u.CacheWrite = openAICount(&details, 0), openAICount(&details, 1)
			u.AudioIn, u.ImageIn = openAICount(&details, 2), openAICount(&details, 3)
		}
		u.Fresh = llm.Count(input.N() - u.CacheRead.N() - u.CacheWrite.N() - u.AudioIn.N() - u.ImageIn.N())
	}
	if output.Known() {
		u.Output = llm.Reported
		if openAIDetails(&details, &usage, openAIOutputNames, 4, 7) {
			u.Reasoning, u.AudioOut = openAICount(&details, 0), openAICount(&details, 1)
		}
		answer := output.N() - u.AudioOut.N()
		// As for chats, some servers count reasoning beside the output.
		if beside := u.Reasoning.N() > 0 && total.Known() && total.N() == input.N()+output.N()+u.Reasoning.N(); !beside {
			answer -= u.Reasoning.N()
		}
		u.Answer = llm.Count(answer)
	}
	return u, input.Known() || output.Known()
}

// openAIDetails reads the first of two members that is an object.
func openAIDetails(into, usage *llm.Object, names *llm.Names, first, second int) bool {
	for _, at := range []int{first, second} {
		if usage.Kind(at) == '{' {
			return into.Read(usage.Value(at), names) == nil
		}
	}
	return false
}

func openAICount(object *llm.Object, at int) llm.Tokens {
	if c := object.Kind(at); c < '0' || c > '9' {
		return llm.Tokens{}
	}
	return llm.Count(openAIInteger(object.Value(at)))
}

// openAIInteger reads a whole number that is not negative; anything else is 0.
func openAIInteger(text []byte) int64 {
	n := int64(0)
	for _, c := range text {
		if c < '0' || c > '9' || n > 1<<50 {
			return 0
		}
		n = n*10 + int64(c-'0')
	}
	return n
}
