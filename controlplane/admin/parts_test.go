package admin_test

import (
	"fmt"
	"testing"

	"github.com/gibbon-gateway/gibbon/controlplane/store"
)

// TestPartialLinks lists plugins that name a partial. They are put into the store
// as such, with others among them that only mention its id.
func TestPartialLinks(t *testing.T) {
	st := openStore(t)
	s := newServerOn(t, st, nil)
	partial := must(t, s, 201, "POST", "/partials", "", `{"name":"cache","type":"redis-ce","config":{"host":"h"}}`).Get("id").Text()
	_, err := st.Update(t.Context(), "test", func(tx store.Tx) error {
		for i := range 6 {
			id := fmt.Sprintf("0000000%d-0000-4000-8000-000000000000", i)
			doc := fmt.Sprintf(`{"id":"%s","name":"p%d","partials":[{"id":"%s","path":"config.redis"}]}`, id, i, partial)
			if i == 2 {
				doc = fmt.Sprintf(`{"id":"%s","name":"p%d","config":{"x":"%s"}}`, id, i, partial)
			}
			if err := tx.Insert(store.Entity{Workspace: "default", Kind: "plugins", ID: id, Document: []byte(doc)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	first := must(t, s, 200, "GET", "/partials/cache/links?size=3", "", "")
	if got, want := first.Get("data").String(), `[{"id":"00000000-0000-4000-8000-000000000000","name":"p0","instance_name":null},`+
		`{"id":"00000001-0000-4000-8000-000000000000","name":"p1","instance_name":null},`+
		`{"id":"00000003-0000-4000-8000-000000000000","name":"p3","instance_name":null}]`; got != want {
		t.Errorf("the first page is %s, want %s", got, want)
	}
	rest := must(t, s, 200, "GET", "/partials/"+partial+"/links?size=3&offset="+first.Get("offset").Text(), "", "")
	if got, want := rest.String(), `{"data":[{"id":"00000004-0000-4000-8000-000000000000","name":"p4","instance_name":null},`+
		`{"id":"00000005-0000-4000-8000-000000000000","name":"p5","instance_name":null}],"next":null,"count":5}`; got != want {
		t.Errorf("the rest is %s, want %s", got, want)
	}
}
