package declarative_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/gibbon-gateway/gibbon/controlplane/declarative"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

// manyEntities is a file of n entities: services, each with two routes and a
// plugin, and consumers with a key.
func manyEntities(n int, host string) string {
	var b strings.Builder
	b.WriteString(head + "services:\n")
	for i := range n / 6 {
		fmt.Fprintf(&b, `- name: service-%d
  host: %s
  tags: [generated, group-%d]
  routes:
  - {name: route-%d-a, paths: [/a/%d], tags: [generated]}
  - {name: route-%d-b, paths: [/b/%d], methods: [GET, POST]}
  plugins:
  - {name: key-auth, config: {key_names: [apikey]}}
`, i, host, i%10, i, i, i, i)
	}
	b.WriteString("consumers:\n")
	for i := range n / 6 {
		fmt.Fprintf(&b, "- username: consumer-%d\n  keyauth_credentials:\n  - {key: key-%d, id: %08x-0000-4000-8000-000000000000}\n", i, i, i)
	}
	return b.String()
}

// BenchmarkLoad loads a large file into an empty store, loads it again, changes
// a third of it, and clears the store.
// entities is how many a large file has.
var entities = flag.Int("entities", 30000, "how many entities BenchmarkLoad loads")

func BenchmarkLoad(b *testing.B) {
	for _, database := range []struct {
		name string
		open func(testing.TB) store.Store
	}{{"sqlite", sqlite}, {"postgres", postgres}} {
		b.Run(database.name, func(b *testing.B) {
			n := *entities
			for b.Loop() {
				b.StopTimer()
				s := database.open(b)
				b.StartTimer()
				for _, step := range []struct{ name, text string }{
					{"load", manyEntities(n, "one.test")}, {"again", manyEntities(n, "one.test")},
					{"change", manyEntities(n, "two.test")}, {"clear", head},
				} {
					start := b.Elapsed()
					c, err := declarative.Parse(load(b), []byte(step.text), declarative.Options{})
					if err != nil {
						b.Fatal(err)
					}
					parsed := b.Elapsed()
					counts, _ := apply(b, s, c, true)
					b.Logf("%s: parse %v, apply %v, %+v", step.name, parsed-start, b.Elapsed()-parsed, counts)
				}
			}
		})
	}
}
