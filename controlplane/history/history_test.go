package history_test

import (
	"errors"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gibbon-gateway/gibbon/controlplane/history"
	"github.com/gibbon-gateway/gibbon/controlplane/store"
	"github.com/gibbon-gateway/gibbon/controlplane/store/sqlstore"
	"github.com/gibbon-gateway/gibbon/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func catalogue(t *testing.T) *schema.Catalogue {
	t.Helper()
	c, err := schema.Load(schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func openStore(t *testing.T) store.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gibbon.db")
	if _, err := sqlstore.NewSQLiteMigrator(path, sqlstore.MigratorOptions{}).Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := sqlstore.OpenSQLite(t.Context(), path, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// entity makes an entity of the default workspace.
func entity(kind, id, document string) store.Entity {
	return store.Entity{Workspace: "default", Kind: kind, ID: id, Document: []byte(document)}
}

func version(entities ...store.Entity) iter.Seq2[store.Entity, error] {
	return func(yield func(store.Entity, error) bool) {
		for _, e := range entities {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// failing yields one entity and then an error.
func failing(err error) iter.Seq2[store.Entity, error] {
	return func(yield func(store.Entity, error) bool) {
		if yield(entity("consumers", "a", `{}`), nil) {
			yield(store.Entity{}, err)
		}
	}
}

// told lists differences in one line each.
func told(t *testing.T, differences iter.Seq2[history.Difference, error]) (lines []string) {
	t.Helper()
	for d, err := range differences {
		if err != nil {
			t.Fatal(err)
		}
		line := string(d.Op) + " " + d.Workspace + " " + d.Kind + " " + d.ID + " (" + d.Name + ")"
		for _, c := range d.Changes {
			line += " " + strings.Join(c.Path, ".") + ": " + c.From.String() + "→" + c.To.String()
		}
		lines = append(lines, line)
	}
	return lines
}

func TestDiff(t *testing.T) {
	c := catalogue(t)
	moved := entity("consumers", "m", `{"id":"m","username":"m"}`)
	moved.Workspace = "team"
	from := []store.Entity{
		entity("consumers", "a", `{"id":"a","username":"alice","updated_at":1,"tags":["x","y"]}`),
		entity("consumers", "b", `{"id":"b","username":"bob"}`),
		entity("consumers", "m", `{"id":"m","username":"m"}`),
		entity("services", "s", `{"id":"s","name":"old","host":"h"}`),
		entity("unicorns", "u", `{"secret":"do not show"}`),
		entity("unicorns", "v", `{}`),
	}
	to := []store.Entity{
		entity("consumers", "a", `{"id":"a","username":"alice","updated_at":2,"tags":["y","x"]}`),
		entity("consumers", "c", `{"id":"c","username":"carol"}`),
		moved,
		entity("services", "s", `{"id":"s","name":"new","host":"h"}`),
		entity("unicorns", "u", `{"secret":"nor this"}`),
		entity("unicorns", "v", `{}`),
	}
	want := []string{
		`delete default consumers b (bob) username: "bob"→null`,
		`insert default consumers c (carol) username: null→"carol"`,
		`update team consumers m (m)`,
		`update default services s (new) name: "old"→"new"`,
		`update default unicorns u ()`,
	}
	if diff := cmp.Diff(want, told(t, history.Diff(c, version(from...), version(to...)))); diff != "" {
		t.Errorf("the differences (-want +got):\n%s", diff)
	}
	if got := told(t, history.Diff(c, version(to...), version(to...))); got != nil {
		t.Errorf("a version differs from itself: %v", got)
	}
	for range history.Diff(c, version(from...), version()) {
		break // an early end is fine
	}
	failure := errors.New("on purpose")
	for what, differences := range map[string]iter.Seq2[history.Difference, error]{
		"the first fails":  history.Diff(c, failing(failure), version()),
		"the second fails": history.Diff(c, version(), failing(failure)),
		"not JSON":         history.Diff(c, version(entity("services", "s", `{`)), version()),
	} {
		var last error
		for _, err := range differences {
			last = err
		}
		if what != "not JSON" && !errors.Is(last, failure) || last == nil {
			t.Errorf("%s: the error is %v", what, last)
		}
	}
}

func TestLiving(t *testing.T) {
	c := catalogue(t)
	at := time.Unix(1000, 0)
	all := []store.Entity{
		entity("keyauth_credentials", "a", `{"id":"a","key":"a","expires_at":1000}`),
		entity("keyauth_credentials", "b", `{"id":"b","key":"b","expires_at":1001}`),
		entity("keyauth_credentials", "c", `{"id":"c","key":"c"}`),
		entity("services", "s", `{"id":"s","expires_at":1}`), // means nothing here
		entity("unicorns", "u", `{"expires_at":1}`),
	}
	var got []string
	for e, err := range history.Living(c, version(all...), at) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.ID)
		if want := time.Unix(1001, 0); e.ID == "b" && !e.ExpiresAt.Equal(want) || e.ID != "b" && !e.ExpiresAt.IsZero() {
			t.Errorf("%s expires at %v", e.ID, e.ExpiresAt)
		}
	}
	if want := []string{"b", "c", "s", "u"}; !slices.Equal(got, want) {
		t.Errorf("living are %v, want %v", got, want)
	}
	var last error
	for _, err := range history.Living(c, version(entity("keyauth_credentials", "a", `{`)), at) {
		last = err
	}
	if last == nil || !strings.Contains(last.Error(), `keyauth_credentials "a"`) {
		t.Errorf("a document that is no JSON: %v", last)
	}
}

const (
	alice  = `{"id":"11111111-1111-4111-8111-111111111111","created_at":1,"updated_at":1,"username":"alice","custom_id":null,"tags":null}`
	alice2 = `{"id":"11111111-1111-4111-8111-111111111111","created_at":1,"updated_at":2,"username":"alice","custom_id":"2","tags":null}`
)

// put writes documents as entities of a kind and workspace.
func put(t *testing.T, s store.Store, workspace, kind string, documents ...string) uint64 {
	t.Helper()
	schemas := catalogue(t)
	v, err := s.Update(t.Context(), "tester", func(tx store.Tx) error {
		for _, text := range documents {
			doc, err := schema.Parse([]byte(text))
			if err != nil {
				return err
			}
			e := store.Entity{Workspace: workspace, Kind: kind, ID: doc.Get("id").Text(), Document: []byte(text)}
			if found, ok := schemas.Entity(kind); ok {
				e = store.EntityOf(found, workspace, doc)
				e.Document = []byte(text)
			}
			if err := tx.Put(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return v.Number
}

func remove(t *testing.T, s store.Store, kind, id string) {
	t.Helper()
	if _, err := s.Update(t.Context(), "tester", func(tx store.Tx) error { return tx.Delete(kind, id) }); err != nil {
		t.Fatal(err)
	}
}

func restore(t *testing.T, s store.Store, number uint64, at time.Time) (counts history.Counts, v store.Version, err error) {
	t.Helper()
	c := catalogue(t)
	v, err = s.Update(t.Context(), "restorer", func(tx store.Tx) (err error) {
		counts, err = history.Restore(tx, c, number, at)
		return err
	})
	return counts, v, err
}

func document(t *testing.T, s store.Store, kind, id string) (text string) {
	t.Helper()
	if err := s.View(t.Context(), func(r store.Reader) error {
		e, err := r.Get(kind, id)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		text = e.Workspace + " " + string(e.Document)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRestore(t *testing.T) {
	s := openStore(t)
	const id = "11111111-1111-4111-8111-111111111111"
	put(t, s, "default", "consumers", alice)
	put(t, s, "default", "consumers", alice2)
	remove(t, s, "consumers", id)
	put(t, s, "team", "consumers", alice)
	for i, tt := range []struct {
		number uint64
		want   history.Counts
		left   string
	}{
		{4, history.Counts{}, "team " + alice},
		{2, history.Counts{Updated: 1}, "default " + alice2}, // into another workspace
		{1, history.Counts{Updated: 1}, "default " + alice},
		{0, history.Counts{Deleted: 1}, ""},
		{2, history.Counts{Created: 1}, "default " + alice2},
		{3, history.Counts{Deleted: 1}, ""},
	} {
		counts, v, err := restore(t, s, tt.number, time.Now())
		if err != nil || counts != tt.want || v.Number != uint64(4+i) {
			t.Errorf("restore version %d: %+v in version %d, %v; want %+v in version %d", tt.number, counts, v.Number, err, tt.want, 4+i)
		}
		if got := document(t, s, "consumers", id); got != tt.left {
			t.Errorf("after version %d: %q, want %q", tt.number, got, tt.left)
		}
	}
	// It is found by what belongs to it.
	if _, _, err := restore(t, s, 1, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := s.View(t.Context(), func(r store.Reader) error {
		_, err := r.Find("default", "consumers", "username", "alice")
		return err
	}); err != nil {
		t.Errorf("find by the name: %v", err)
	}
}

func TestRestoreExpired(t *testing.T) {
	s := openStore(t)
	const id = "22222222-2222-4222-8222-222222222222"
	ends := time.Now().Add(time.Hour)
	put(t, s, "default", "consumers", alice)
	key := schema.Object(
		schema.Member{Name: "id", Value: schema.String(id)},
		schema.Member{Name: "created_at", Value: schema.Int(1)},
		schema.Member{Name: "consumer", Value: schema.Object(schema.Member{Name: "id", Value: schema.String("11111111-1111-4111-8111-111111111111")})},
		schema.Member{Name: "key", Value: schema.String("k")},
		schema.Member{Name: "tags", Value: schema.Null()},
		schema.Member{Name: "expires_at", Value: schema.Int(ends.Unix())})
	number := put(t, s, "default", "keyauth_credentials", key.String())
	remove(t, s, "keyauth_credentials", id)
	if _, _, err := restore(t, s, number, ends.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := document(t, s, "keyauth_credentials", id); got != "" {
		t.Errorf("what has ended came back: %s", got)
	}
	if _, _, err := restore(t, s, number, ends.Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got, want := document(t, s, "keyauth_credentials", id), "default "+key.String(); got != want {
		t.Errorf("what had not ended is %s, want %s", got, want)
	}
}

func TestRestoreRefused(t *testing.T) {
	s := openStore(t)
	put(t, s, "default", "consumers", alice)
	put(t, s, "default", "unicorns", `{"id":"u"}`)
	put(t, s, "default", "consumers", `{"id":"33333333-3333-4333-8333-333333333333","username":7}`)
	remove(t, s, "unicorns", "u")
	remove(t, s, "consumers", "33333333-3333-4333-8333-333333333333")
	remove(t, s, "consumers", "11111111-1111-4111-8111-111111111111")
	_, _, err := restore(t, s, 3, time.Now())
	broken := new(history.BrokenError)
	if !errors.As(err, &broken) {
		t.Fatalf("the error is %v, want a *BrokenError", err)
	}
	var got []string
	for _, b := range broken.Entities {
		got = append(got, b.Kind+" "+b.ID+": "+b.Err.Error())
	}
	want := []string{
		`consumers 33333333-3333-4333-8333-333333333333: schema violation (username: expected a string)`,
		`unicorns u: there is no kind "unicorns"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is broken (-want +got):\n%s", diff)
	}
	const text = `version 3 cannot be restored: 2 of its entities are refused, the first one is consumers "7": ` +
		`schema violation (username: expected a string)`
	if broken.Error() != text {
		t.Errorf("the text is %q, want %q", broken.Error(), text)
	}
	if got := document(t, s, "consumers", "11111111-1111-4111-8111-111111111111"); got != "" {
		t.Errorf("half of it was done: %s", got)
	}
	missing := new(store.VersionError)
	if _, _, err := restore(t, s, 99, time.Now()); !errors.As(err, &missing) {
		t.Errorf("a version to come: %v, want a *VersionError", err)
	}
}
