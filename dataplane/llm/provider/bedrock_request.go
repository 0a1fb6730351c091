package provider

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// bedrockTurns writes the turns of a chat.
type bedrockTurns struct {
	w *bedrockWriter
	// role is that of the message that is being written; empty before the first.
	role string
	// signed says that the model takes back thoughts that it signed.
	signed bool
	origin llm.Format
	// names counts the documents, whose names must differ.
	documents int
}

// bedrockConverse writes the members of a call to Converse.
func bedrockConverse(w *bedrockWriter, call *Call, request *llm.Request) error {
	chat, err := request.Chat()
	if err != nil {
		return err
	}
	if err := bedrockSystem(w, call.Model, chat); err != nil {
		return err
	}
	t := bedrockTurns{
		w: w, origin: chat.Origin,
		// The name of an inference profile does not tell the model behind it.
		signed: bedrockIsClaude(call.Model) || strings.HasPrefix(call.Model, "arn:"),
	}
	w.name("messages")
	w.open('[')
	for i := range chat.Messages {
		if err := t.message(&chat.Messages[i]); err != nil {
			return err
		}
	}
	t.end()
	w.close("]")
	bedrockConfigure(w, call, chat)
	return nil
}

// bedrockComplete writes the members of a call to Converse that goes on with a
// text.
func bedrockComplete(w *bedrockWriter, call *Call, request *llm.Request) error {
	completion, err := request.Decoder.Completion(request)
	if err != nil {
		return err
	}
	if len(completion.Prompts) != 1 {
		return errors.New("a completion by Bedrock takes exactly one prompt")
	}
	w.name("messages")
	w.open('[')
	w.open('{')
	w.text("role", "user")
	w.name("content")
	w.open('[')
	w.open('{')
	w.text("text", completion.Prompts[0])
	w.close("}]}]")
	bedrockConfigure(w, call, &llm.ChatCall{Origin: completion.Origin, Options: completion.Options, Extra: completion.Extra})
	return nil
}

// bedrockNoSystem are the models that take no system prompts.
var bedrockNoSystem = []string{
	"amazon.titan-", "cohere.command-text-", "cohere.command-light-text-",
	"mistral.mistral-7b-instruct-", "mistral.mixtral-8x7b-instruct-",
}

// bedrockIsSystem says whether a role is one that speaks for the operator.
func bedrockIsSystem(role llm.Role) bool { return role == llm.RoleSystem || role == llm.RoleDeveloper }

func bedrockSystem(w *bedrockWriter, model string, chat *llm.ChatCall) error {
	begun := false
	for i := range chat.Messages {
		m := &chat.Messages[i]
		if !bedrockIsSystem(m.Role) {
			continue
		}
		for _, name := range bedrockNoSystem {
			if strings.Contains(model, name) {
				// The quote that is not closed is Kong's.
				return fmt.Errorf("system prompts are unsupported for model '%s", model)
			}
		}
		for j := range m.Parts {
			p := &m.Parts[j]
			switch {
			case p.Kind != llm.PartText:
				return errors.New("system prompts must be texts")
			case p.Text == "":
				continue
			case !begun:
				begun = true
				w.name("system")
				w.open('[')
			}
			w.open('{')
			w.text("text", p.Text)
			w.close("}")
			bedrockCache(w, p.Cache)
		}
	}
	if begun {
		w.close("]")
	}
	return nil
}

// bedrockCaches says whether a model has a cache; the others refuse to hear of one.
// The name of an inference profile does not tell.
func bedrockCaches(model string) bool {
	return bedrockIsClaude(model) || strings.Contains(model, "amazon.nova") || strings.HasPrefix(model, "arn:")
}

// bedrockCache writes the point up to which the vendor is to cache.
func bedrockCache(w *bedrockWriter, mark []byte) {
	if mark == nil || !w.caches {
		return
	}
	w.open('{')
	w.name("cachePoint")
	w.open('{')
	w.text("type", "default")
	llm.Members(mark, func(name string, value []byte) bool {
		if name == "ttl" {
			w.raw("ttl", string(value))
		}
		return true
	})
	w.close("}}")
}

// begin makes sure that what follows is said in a role. Bedrock wants roles to
// alternate, and all results of one turn in one message: neighbours of a role
// are one message.
func (t *bedrockTurns) begin(role string) {
	if t.role == role {
		return
	}
	t.end()
	t.role = role
	t.w.open('{')
	t.w.text("role", role)
	t.w.name("content")
	t.w.open('[')
}

// end ends the message that is being written, if there is one.
func (t *bedrockTurns) end() {
	if t.role != "" {
		t.w.close("]}")
	}
}

func (t *bedrockTurns) message(m *llm.Message) error {
	switch {
	case bedrockIsSystem(m.Role):
		return nil
	case m.Role == llm.RoleTool:
		return t.result(m)
	}
	role := "user"
	if m.Role == llm.RoleAssistant {
		role = "assistant"
	}
	for i := range m.Parts {
		if err := t.part(role, &m.Parts[i]); err != nil {
			return err
		}
	}
	for i := range m.Calls {
		if err := t.call(role, &m.Calls[i]); err != nil {
			return err
		}
	}
	return nil
}

func (t *bedrockTurns) part(role string, p *llm.Part) error {
	w := t.w
	switch p.Kind {
	case llm.PartText, llm.PartRefusal:
		if p.Text == "" {
			return nil // Bedrock refuses empty texts
		}
		t.begin(role)
		w.open('{')
		w.text("text", p.Text)
		w.close("}")
	case llm.PartReasoning, llm.PartRedacted:
		// A thought without a signature, or by a model of another maker, is refused.
		if role != "assistant" || !t.signed || p.Kind == llm.PartReasoning && p.Signature == "" {
			return nil
		}
		t.begin(role)
		w.open('{')
		w.name("reasoningContent")
		w.open('{')
		if p.Kind == llm.PartRedacted {
			w.name("redactedContent")
			w.out = llm.AppendQuoted(w.out, p.Data)
		} else {
			w.name("reasoningText")
			w.open('{')
			w.text("text", p.Text)
			w.text("signature", p.Signature)
			w.close("}")
		}
		w.close("}}")
		return nil
	case llm.PartImage, llm.PartFile, llm.PartAudio:
		t.begin(role)
		if err := t.media(p); err != nil {
			return err
		}
	default:
		own, err := bedrockOwn(p.JSON)
		if err != nil {
			if t.origin == llm.Anthropic {
				return nil // what tools at Anthropic's servers said, which no other place knows
			}
			return err
		}
		t.begin(role)
		w.comma()
		w.out = append(w.out, own...)
	}
	bedrockCache(w, p.Cache)
	return nil
}

// bedrockOwn is a part that a caller wrote in Bedrock's own words, as Kong lets
// it. Those of other formats tell their type.
func bedrockOwn(part []byte) ([]byte, error) {
	kind, members := "", 0
	llm.Members(part, func(name string, value []byte) bool {
		members++
		if name == "type" {
			kind = string(value)
		}
		return true
	})
	if kind != "" || members == 0 {
		return nil, fmt.Errorf("a part of type %s is not supported by Bedrock", kind)
	}
	return part, nil
}

// bedrockMedia are the formats of things that are no text, by their media types.
var bedrockMedia = map[string]struct{ block, format string }{
	"image/png": {"image", "png"}, "image/jpeg": {"image", "jpeg"}, "image/jpg": {"image", "jpeg"},
	"image/gif": {"image", "gif"}, "image/webp": {"image", "webp"},
	"application/pdf": {"document", "pdf"}, "text/csv": {"document", "csv"}, "text/html": {"document", "html"},
	"text/plain": {"document", "txt"}, "text/markdown": {"document", "md"},
	"application/msword":       {"document", "doc"},
	"application/vnd.ms-excel": {"document", "xls"},
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document": {"document", "docx"},
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":       {"document", "xlsx"},
	"audio/mp3":  {"audio", "mp3"},
	"audio/mpeg": {"audio", "mp3"}, "audio/wav": {"audio", "wav"}, "audio/flac": {"audio", "flac"}, "audio/ogg": {"audio", "ogg"},
}

// bedrockEnds are the media types of documents by the ends of their names.
var bedrockEnds = map[string]string{
	"pdf": "application/pdf", "csv": "text/csv", "html": "text/html", "txt": "text/plain", "md": "text/markdown",
	"doc": "application/msword", "xls": "application/vnd.ms-excel",
	"docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	"xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

// media writes an image, a document or a sound.
func (t *bedrockTurns) media(p *llm.Part) error {
	w := t.w
	kind := strings.ToLower(p.MediaType)
	name := p.Name
	if kind == "" {
		name = name + p.URL[strings.LastIndexByte(p.URL, '/')+1:]
		end := strings.ToLower(name[strings.LastIndexByte(name, '.')+1:])
		if kind = bedrockEnds[end]; kind == "" && p.Kind == llm.PartImage {
			kind = "image/" + end
		}
	}
	const s3 = "s3://"
	if len(p.Data) == 0 && !strings.HasPrefix(p.URL, s3) {
		return errors.New("Bedrock takes images and documents as data or from S3, and fetches none")
	}
	media, ok := bedrockMedia[kind]
	if !ok {
		return fmt.Errorf("media type %q is not supported by Bedrock", kind)
	}
	w.open('{')
	w.name(media.block)
	w.open('{')
	w.text("format", media.format)
	if media.block == "document" {
		t.documents++
		w.text("name", bedrockDocumentName(name, t.documents))
	}
	w.name("source")
	w.open('{')
	if len(p.Data) > 0 {
		w.name("bytes")
		w.out = llm.AppendQuoted(w.out, p.Data)
	} else {
		w.name("s3Location")
		w.open('{')
		w.text("uri", p.URL)
		w.close("}")
	}
	w.close("}}}")
	return nil
}

// bedrockDocumentName is a name that Bedrock takes: letters, digits, single
// spaces, hyphens, and no other marks.
func bedrockDocumentName(name string, number int) string {
	out := make([]byte, 0, len(name))
	for i := range min(len(name), 200) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		switch {
		case letter || c == '-' || c == '(' || c == ')' || c == '[' || c == ']':
			out = append(out, c)
		case len(out) > 0 && out[len(out)-1] != ' ':
			out = append(out, ' ')
		}
	}
	text := strings.TrimSpace(string(out))
	if text == "" {
		text = "document"
	}
	if number > 1 {
		text += fmt.Sprintf(" (%d)", number)
	}
	return text
}

// call writes the use of a tool that the model asked for.
func (t *bedrockTurns) call(role string, c *llm.ToolCall) error {
	if c.Name == "" {
		return errors.New("a tool call that is no call of a function is not supported by Bedrock")
	}
	t.begin(role)
	w := t.w
	w.open('{')
	w.name("toolUse")
	w.open('{')
	w.text("toolUseId", bedrockCallID(c.ID))
	w.text("name", c.Name)
	w.name("input")
	arguments := strings.TrimSpace(c.Arguments)
	switch kind, err := bedrockJSON(arguments); {
	case arguments == "" || arguments == "null":
		w.out = append(w.out, "{}"...)
	case err != nil:
		return errors.New("failed to decode function call arguments, not JSON format")
	case kind != '{':
		w.open('{')
		w.raw("input", arguments)
		w.close("}")
	default:
		w.out = append(w.out, arguments...)
	}
	w.close("}}")
	return nil
}

// bedrockJSON checks a text, and gives the first byte of the value in it.
func bedrockJSON(text string) (kind byte, err error) {
	var object llm.Object
	err = object.Read([]byte(text), bedrockAnswerNames)
	if errors.Is(err, llm.ErrNotObject) {
		err = nil
	}
	if err != nil || text == "" {
		return 0, errors.Join(err, errors.New("no JSON"))
	}
	return text[0], nil
}

// bedrockCallID is an id that Bedrock takes. Other vendors' may have other marks.
func bedrockCallID(id string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, id)
}

// result writes what a tool answered.
func (t *bedrockTurns) result(m *llm.Message) error {
	t.begin("user")
	w := t.w
	w.open('{')
	w.name("toolResult")
	w.open('{')
	w.text("toolUseId", bedrockCallID(m.CallID))
	w.name("content")
	w.open('[')
	var cache []byte
	for i := range m.Parts {
		p := &m.Parts[i]
		if p.Cache != nil {
			cache = p.Cache
		}
		switch p.Kind {
		case llm.PartText:
			if err := t.resultText(p.Text, m.Plain && t.origin == llm.OpenAI); err != nil {
				return err
			}
		case llm.PartImage, llm.PartFile:
			if err := t.media(p); err != nil {
				return err
			}
		default:
			own, err := bedrockOwn(p.JSON)
			if err != nil {
				return err
			}
			w.comma()
			w.out = append(w.out, own...)
		}
	}
	w.close("]")
	if m.Failed {
		w.text("status", "error")
	} else {
		for _, extra := range m.Extra {
			if extra.Name == "status" && extra.Value[0] == '"' {
				w.raw("status", string(extra.Value))
			}
		}
	}
	w.close("}}")
	bedrockCache(w, cache)
	return nil
}

// resultText writes a text that a tool answered. Kong wants that of a caller of
// OpenAI's format to be JSON, and strict says so; other callers' tools answer in
// words as well.
func (t *bedrockTurns) resultText(text string, strict bool) error {
	w := t.w
	text = strings.TrimSpace(text)
	if text == "" {
		return nil
	}
	kind, err := bedrockJSON(text)
	if err != nil && strict {
		return errors.New("failed to decode function response arguments, not JSON format")
	}
	w.open('{')
	switch {
	case err != nil || kind != '{' && !strict:
		w.text("text", text)
	case kind == '{':
		w.raw("json", text)
	default:
		// Models take objects only.
		w.name("json")
		w.open('{')
		w.raw("result", text)
		w.close("}")
	}
	w.close("}")
	return nil
}
