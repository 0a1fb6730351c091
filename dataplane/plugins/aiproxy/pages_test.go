package aiproxy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	pluginpb "github.com/gibbon-gateway/gibbon/gen/gibbon/plugin/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/llm"
	"github.com/gibbon-gateway/gibbon/dataplane/llm/provider"
	"github.com/gibbon-gateway/gibbon/dataplane/plugin/plugintest"
)

var (
	callsPlace  = regexp.MustCompile(`(?s)(<!-- calls: written by the test -->\n)(.*)(<!-- end of calls -->)`)
	fieldsPlace = regexp.MustCompile(`(?s)(<!-- fields: ([^\n]*) -->\n)(.*)(<!-- end of fields -->)`)
)

// TestProviderPages keeps the tables on the providers' pages what the code and the
// schema say: the kinds of calls that a vendor runs, and the fields that a page
// names. Each vendor has a page.
func TestProviderPages(t *testing.T) {
	const folder = "../../../docs/providers"
	routes := []llm.Route{
		llm.Chat, llm.Completions, llm.Embeddings, llm.Responses, llm.Assistants, llm.Files, llm.Batches, llm.Speech,
		llm.Transcriptions, llm.Translations, llm.Images, llm.ImageEdits, llm.Videos, llm.Realtime, llm.Preserve,
	}
	for _, p := range provider.All {
		t.Run(p.Name(), func(t *testing.T) {
			path := filepath.Join(folder, p.Name()+".md")
			old, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			places := fieldsPlace.FindSubmatch(old)
			if places == nil || !callsPlace.Match(old) {
				t.Fatal("the page has no places for its tables")
			}
			var calls strings.Builder
			calls.WriteString("| route_type | in the format of |\n| --- | --- |\n")
			for _, route := range routes {
				if formats := formats(p, route); len(formats) > 0 {
					fmt.Fprintf(&calls, "| `%s` | %s |\n", route, strings.Join(formats, ", "))
				}
			}
			names := strings.Fields(string(places[2]))
			table := plugintest.FieldTable((&pluginpb.AiProxy{}).ProtoReflect().Descriptor(), names)
			if rows := strings.Count(table, "\n") - 2; rows != len(names) {
				t.Errorf("the page names %d fields, and the schema has %d of them", len(names), rows)
			}
			now := callsPlace.ReplaceAllString(string(old), "${1}"+calls.String()+"${3}")
			now = fieldsPlace.ReplaceAllString(now, "${1}"+strings.ReplaceAll(table, "$", "$$")+"${4}")
			if *update {
				if err := os.WriteFile(path, []byte(now), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(now, string(old)); diff != "" {
				t.Errorf("%s is not what the code says; run the test with -update (-code +page):\n%s", path, diff)
			}
		})
	}
}

// formats are what a vendor may be told to speak for a kind of call.
func formats(p provider.Provider, route llm.Route) (all []string) {
	for _, format := range []string{"openai", "ollama", "raw"} {
		one, ok := provider.Find(p.Name(), &pluginpb.AiModelOptions{MistralFormat: &format, Llama2Format: &format})
		if !ok {
			continue
		}
		if speaks, runs := one.Format(route); runs && !slices.Contains(all, string(speaks)) {
			all = append(all, string(speaks))
		}
	}
	return all
}
