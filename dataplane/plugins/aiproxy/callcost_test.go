package aiproxy_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
)

// BenchmarkCall is the plugin's part of a call that is not streamed, from the
// caller's body to the log, with a short prompt and with one of 100 KB. The request
// itself is made anew each time, which is in the figures.
func BenchmarkCall(b *testing.B) {
	filler := strings.Repeat(`{"role":"user","content":"`+strings.Repeat(`The quick brown fox jumps over the lazy dog; \"twice\", it says, and\tthen rests. `, 45)+`"},`, 25)
	for _, size := range []string{"short", "long"} {
		body := chatBody
		if size == "long" {
			body = `{"messages":[` + filler + `{"role":"user","content":"x"}],"max_tokens":10}`
		}
		for _, tt := range costs {
			b.Run(size+" "+tt.caller+" to "+tt.provider, func(b *testing.B) {
				h := between(b, tt.caller, tt.provider)
				header, whole := http.Header{}, []byte(tt.whole)
				b.ReportAllocs()
				for b.Loop() {
					r := plugintest.Request(b, http.MethodPost, "/", body)
					if err := h.Access(r); err != nil {
						b.Fatal(err)
					}
					clear(header)
					r.Response = plugin.Response{Status: http.StatusOK, Header: header, FromUpstream: true}
					r.Response.SetBody(whole)
					if err := h.Header(r); err != nil {
						b.Fatal(err)
					}
					h.Log(r)
				}
			})
		}
	}
}
