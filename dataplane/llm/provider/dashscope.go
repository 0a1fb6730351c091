package provider

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
)

// dashscopeVendor speaks OpenAI's format but for images, which have bodies of
// DashScope's own.
type dashscopeVendor struct{ *OpenAI }

// dashscopeHost is the host in Singapore, or the one in mainland China where the
// configuration says so.
func dashscopeHost(options *pluginpb.AiModelOptions) (string, error) {
	if d := options.GetDashscope(); d != nil && d.International != nil && !d.GetInternational() {
		return "dashscope.aliyuncs.com", nil
	}
	return "dashscope-intl.aliyuncs.com", nil
}

// Headers asks for an edit as a task, which is the only way to have one.
func (d *dashscopeVendor) Headers(call *Call, header http.Header) {
	d.OpenAI.Headers(call, header)
	if call.Route == llm.ImageEdits {
		header["X-Dashscope-Async"] = []string{"enable"}
	}
}

// Request writes a call for images from what an OpenAI caller asks. A body that is
// DashScope's own already passes, as all other calls do.
func (d *dashscopeVendor) Request(call *Call, request *llm.Request) ([]byte, error) {
	if call.Route != llm.Images || request.Body == nil || request.Fields.Kind(llm.FieldInput) == '{' {
		return d.OpenAI.Request(call, request)
	}
	var prompt, count, size string
	var extra []llm.Member
	llm.Members(request.Body, func(name string, value []byte) bool {
		switch {
		case name == "prompt" && value[0] == '"':
			prompt = llm.Unquote(value)
		case name == "n" && value[0] != 'n':
			count = string(value)
		case name == "size" && value[0] == '"':
			size = llm.Unquote(value)
		default:
			extra = append(extra, llm.Member{Name: name, Value: value})
		}
		return true
	})
	b := nativeStart(request)
	b.text("model", call.Model)
	b.object("input", func(b *nativeBody) {
		b.list("messages", 1, func(int) {
			b.element(func(b *nativeBody) {
				b.text("role", "user")
				b.list("content", 1, func(int) {
					b.element(func(b *nativeBody) { b.text("text", prompt) })
				})
			})
		})
	})
	b.object("parameters", func(b *nativeBody) {
		b.number("n", count)
		if size != "" && size != "auto" {
			b.text("size", strings.Replace(size, "x", "*", 1)) // 1024x1024 is 1024*1024 here
		}
		// A caller may name more of them in the vendor's words.
		llm.Members(nativeExtra(extra, "parameters", '{'), func(name string, value []byte) bool {
			b.add(name, value)
			return true
		})
	})
	return b.finish(call, extra), nil
}

var (
	dashscopeNames       = llm.NewLenientNames("created", "data", "output")
	dashscopeOutputNames = llm.NewLenientNames("choices")
	dashscopeChoiceNames = llm.NewLenientNames("message")
	dashscopeTextNames   = llm.NewLenientNames("content")
	dashscopeImageNames  = llm.NewLenientNames("image")
)

// Response adds to an answer with images what an OpenAI caller looks for. What
// came stays, for callers that know it.
func (d *dashscopeVendor) Response(call *Call, body []byte) (Answer, error) {
	if call.Route != llm.Images {
		return d.OpenAI.Response(call, body)
	}
	var object, output llm.Object
	if object.ReadWithin(body, dashscopeNames, call.Limits) != nil {
		return Answer{Body: body}, &AnswerError{Reason: "failed to decode " + string(call.Route) + " response"}
	}
	if object.Kind(2) != '{' || output.Read(object.Value(2), dashscopeOutputNames) != nil {
		return d.OpenAI.Response(call, body)
	}
	data := []byte{'['}
	llm.Elements(output.Value(0), func(text []byte) bool {
		var choice, message llm.Object
		if choice.Read(text, dashscopeChoiceNames) != nil || choice.Kind(0) != '{' || message.Read(choice.Value(0), dashscopeTextNames) != nil {
			return true
		}
		llm.Elements(message.Value(0), func(part []byte) bool {
			var image llm.Object
			if image.Read(part, dashscopeImageNames) == nil && image.Kind(0) == '"' {
				if len(data) > 1 {
					data = append(data, ',')
				}
				data = append(data, `{"url":`...)
				data = append(append(data, image.Value(0)...), '}')
			}
			return true
		})
		return true
	})
	var edits llm.Edits
	edits.Set(0, strconv.FormatInt(time.Now().Unix(), 10))
	edits.Set(1, string(append(data, ']')))
	return Answer{Body: edits.AppendTo(nil, &object)}, nil
}
