package follow

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
)

var key = bytes.Repeat([]byte{7}, 32)

func cache(tb testing.TB, dir, cluster string, key []byte) *Cache {
	tb.Helper()
	c, err := OpenCache(dir, cluster, key)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func put(tb testing.TB, c *Cache, m made) {
	tb.Helper()
	if err := c.save(Incoming{Epoch: m.held.Epoch, Version: m.held.Version, Hash: m.held.Hash}, m.manifest.GetSize(), m.compressed); err != nil {
		tb.Fatal(err)
	}
}

// filled is a folder with versions 1 to n, as generations 1 to n.
func filled(tb testing.TB, n int, key []byte) string {
	tb.Helper()
	dir := filepath.Join(tb.TempDir(), "[cache]") // no pattern
	c := cache(tb, dir, "us", key)
	for v := 1; v <= n; v++ {
		put(tb, c, snap(tb, "e1", uint64(v), strings.Repeat("content ", v)))
	}
	return dir
}

func names(tb testing.TB, dir string) []string {
	tb.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func first(dir string) string  { return filepath.Join(dir, "snapshot-0000000000000001.gibbon") }
func second(dir string) string { return filepath.Join(dir, "snapshot-0000000000000002.gibbon") }

func read(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func write(tb testing.TB, path string, b []byte) {
	tb.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// resum makes the sum right again, as somebody who means harm would.
func resum(b []byte) []byte {
	sum := sha256.Sum256(b[:len(b)-sha256.Size])
	return append(b[:len(b)-sha256.Size:len(b)-sha256.Size], sum[:]...)
}

func TestCacheKeepsThreeGenerations(t *testing.T) {
	for _, k := range [][]byte{nil, key} {
		dir := filled(t, 5, k)
		want := []string{"snapshot-0000000000000003.gibbon", "snapshot-0000000000000004.gibbon", "snapshot-0000000000000005.gibbon"}
		if diff := cmp.Diff(want, names(t, dir)); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
		for _, name := range want {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
			}
			if plain := bytes.Contains(read(t, filepath.Join(dir, name)), snap(t, "e1", 5, strings.Repeat("content ", 5)).compressed); plain && k != nil {
				t.Errorf("%s holds the snapshot in the clear", name)
			}
		}
		var versions []uint64
		for in, err := range cache(t, dir, "us", k).load() {
			if err != nil {
				t.Errorf("%s: %v", in.path, err)
			}
			versions = append(versions, in.Version)
			if want := strings.Repeat("content ", int(in.Version)); text(in.Incoming) != want {
				t.Errorf("version %d is %q, want %q", in.Version, text(in.Incoming), want)
			}
		}
		if diff := cmp.Diff([]uint64{5, 4, 3}, versions); diff != "" {
			t.Errorf("versions (-want +got):\n%s", diff)
		}
	}
}

func TestCacheKeyLength(t *testing.T) {
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := OpenCache(t.TempDir(), "us", make([]byte, n)); err == nil {
			t.Errorf("a key of %d bytes was accepted", n)
		}
	}
}

// Whatever happens to the newest file, it is skipped, it stays where it is, and
// the one before it is used.
func TestDamagedCacheFiles(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(b, other []byte) []byte // of generation 2; other is generation 1
		opener []byte                       // the key of the node that reads
		want   string
	}{
		{"empty", func([]byte, []byte) []byte { return nil }, key, "length: 0 bytes"},
		{"magic", func(b, _ []byte) []byte { b[0] ^= 1; return b }, key, "magic: "},
		{"format", func(b, _ []byte) []byte { b[7] = 9; return b }, key, "format: version 9, this program reads 1"},
		{"cut", func(b, _ []byte) []byte { return b[:len(b)-1] }, key, "sum: "},
		{"header length", func(b, _ []byte) []byte { binary.BigEndian.PutUint32(b[8:], 1<<31); return resum(b) }, key, "length: a header of 2147483648 bytes"},
		{"header", func(b, _ []byte) []byte { b[12] = 0xff; return resum(b) }, key, "header: "},
		{"body with its sum", func(b, _ []byte) []byte { b[len(b)-40] ^= 1; return resum(b) }, key, "decryption: "},
		{"the file before it", func(_, other []byte) []byte { return other }, key, "generation: the file was written as number 1"},
		{"another format of file", func([]byte, []byte) []byte { return bytes.Repeat([]byte("{}"), 100) }, key, "magic: "},
		{"plain, and a key here", func([]byte, []byte) []byte {
			b, err := (&Cache{clusterID: "us"}).encode(&clusterpb.CacheHeader{ClusterId: "us", Generation: 2}, nil)
			if err != nil {
				panic(err)
			}
			return b
		}, key, "decryption: the file is not encrypted"},
		{"another cluster's", func([]byte, []byte) []byte {
			b, err := (&Cache{}).encode(&clusterpb.CacheHeader{ClusterId: "them", Generation: 2}, nil)
			if err != nil {
				panic(err)
			}
			return b
		}, key, `cluster: the file is of cluster "them", this node belongs to "us"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filled(t, 2, key)
			write(t, second(dir), tt.damage(read(t, second(dir)), read(t, first(dir))))
			var log bytes.Buffer
			var applied []uint64
			f, err := New(Config{
				Addresses: []string{"127.0.0.1:1"}, Node: Node{ID: nodeID}, Cache: cache(t, dir, "us", tt.opener),
				Apply: func(_ context.Context, in Incoming) error { applied = append(applied, in.Version); return nil },
				Log:   slog.New(slog.NewTextHandler(&log, nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			f.restore(t.Context())
			if diff := cmp.Diff([]uint64{1}, applied); diff != "" {
				t.Errorf("applied (-want +got):\n%s", diff)
			}
			if s := f.State(); s.Held.Version != 1 || !s.FromCache {
				t.Errorf("State = %+v", s)
			}
			line, _, _ := strings.Cut(log.String(), "\n")
			if !strings.Contains(line, "level=ERROR") || !strings.Contains(line, second(dir)) || !strings.Contains(strings.ReplaceAll(line, `\"`, `"`), tt.want) {
				t.Errorf("the log says %s, want %q and the file's name", line, tt.want)
			}
			if _, err := os.Stat(second(dir)); err != nil {
				t.Errorf("the damaged file is gone: %v", err)
			}
		})
	}
}

func TestEveryFlippedBitAndEveryCutIsNoticed(t *testing.T) {
	for _, k := range [][]byte{nil, key} {
		dir := filled(t, 1, k)
		good := read(t, first(dir))
		c := cache(t, dir, "us", k)
		if _, err := c.decode(good, 1); err != nil {
			t.Fatal(err)
		}
		for i := range good {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << (i % 8)
			if _, err := c.decode(bad, 1); err == nil {
				t.Errorf("a flipped bit in byte %d of %d was not noticed", i, len(good))
			}
			if _, err := c.decode(good[:i], 1); err == nil {
				t.Errorf("a cut after %d of %d bytes was not noticed", i, len(good))
			}
		}
		if _, err := c.decode(append(bytes.Clone(good), 0), 1); err == nil {
			t.Error("a byte too many was not noticed")
		}
		for name, other := range map[string]*Cache{
			"key":     cache(t, dir, "us", bytes.Repeat([]byte{8}, 32)),
			"cluster": cache(t, dir, "them", k),
		} {
			if _, err := other.decode(good, 1); err == nil {
				t.Errorf("a file of another %s was read", name)
			}
		}
	}
}

func TestRestoreSkipsWhatCannotBeApplied(t *testing.T) {
	dir := filled(t, 3, nil)
	write(t, filepath.Join(dir, temporary+"1234"), []byte("half"))
	write(t, filepath.Join(dir, "snapshot-zzz.gibbon"), []byte("a stranger's"))
	f, err := New(Config{
		Addresses: []string{"127.0.0.1:1"}, Node: Node{ID: nodeID}, Cache: cache(t, dir, "us", nil),
		Apply: func(_ context.Context, in Incoming) error {
			switch in.Version {
			case 3:
				return errors.New("plugin unknown")
			case 2:
				panic("bad luck")
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.restore(t.Context())
	if s := f.State(); s.Held.Version != 1 || !s.FromCache {
		t.Errorf("State = %+v, want version 1 from the cache", s)
	}
	want := []string{"snapshot-0000000000000001.gibbon", "snapshot-0000000000000002.gibbon", "snapshot-0000000000000003.gibbon", "snapshot-zzz.gibbon"}
	if diff := cmp.Diff(want, names(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// Only what was applied is cached, once, and a folder that takes nothing costs
// nothing but the cache.
func TestFollowerCaches(t *testing.T) {
	good, bad, same := snap(t, "e1", 1, "good"), snap(t, "e1", 2, "bad"), snap(t, "e1", 3, "good")
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		files []string
	}{
		{"ordinary", func(*testing.T, string) {}, []string{"snapshot-0000000000000001.gibbon"}},
		// A file in the folder's place fails for every user, root too.
		{"no folder", func(t *testing.T, dir string) { write(t, dir, nil) }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cache")
			tt.spoil(t, dir)
			cfg := Config{Cache: cache(t, dir, "us", key), Apply: func(_ context.Context, in Incoming) error {
				if in.Version == 2 {
					return errors.New("refused")
				}
				return nil
			}}
			var follower *Follower
			bubble(t, cfg, func(c *stream) error {
				c.welcome()
				c.acked(good)
				c.wantNack(c.give(bad), "refused")
				c.acked(same)
				c.p.reached <- struct{}{}
				return c.hold()
			}, func(t *testing.T, f *Follower, p *controlPlane) {
				<-p.reached
				synctest.Wait()
				follower = f
				if s := f.State(); s.Held != same.held || !s.Connected {
					t.Errorf("State = %+v", s)
				}
			})
			// Run has returned: what was to be saved is.
			if tt.files == nil {
				if follower.State().CacheErr == nil {
					t.Error("nobody was told that the cache does not work")
				}
				return
			}
			if s := follower.State(); s.CacheErr != nil {
				t.Errorf("CacheErr = %v", s.CacheErr)
			}
			if diff := cmp.Diff(tt.files, names(t, dir)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			for in, err := range cfg.Cache.load() {
				if err != nil || in.held() != good.held {
					t.Errorf("cached %+v, %v", in.held(), err)
				}
			}
		})
	}
}

// A slow disk gets the newest snapshot, not a queue of old ones.
func TestKeepHoldsTheNewest(t *testing.T) {
	f, err := New(Config{Addresses: []string{"127.0.0.1:1"}, Node: Node{ID: nodeID}, Cache: cache(t, t.TempDir(), "us", nil),
		Apply: func(context.Context, Incoming) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	for v := uint64(1); v <= 5; v++ {
		f.keep(save{in: Incoming{Version: v}})
	}
	if got := (<-f.saves).in.Version; got != 5 {
		t.Errorf("version %d is in the mailbox, want 5", got)
	}
}

func FuzzCacheFile(f *testing.F) {
	for _, k := range [][]byte{nil, key} {
		good := read(f, first(filled(f, 1, k)))
		f.Add(good, k != nil)
		f.Add(good[:len(good)/2], k != nil)
	}
	plain, sealed := cache(f, f.TempDir(), "us", nil), cache(f, f.TempDir(), "us", key)
	f.Fuzz(func(t *testing.T, b []byte, encrypted bool) {
		c := plain
		if encrypted {
			c = sealed
		}
		// The sum would stop nearly everything that a fuzzer thinks of.
		if len(b) > sha256.Size {
			b = resum(bytes.Clone(b))
		}
		in, err := c.decode(b, 1)
		if (err == nil) != (in.Snapshot != nil) {
			t.Fatalf("decode gives %v and %v", in.Snapshot, err)
		}
	})
}

func FuzzSnapshotDecode(f *testing.F) {
	m := snap(f, "e1", 1, "content")
	f.Add(m.compressed, m.manifest.GetSize())
	f.Add(m.compressed[:len(m.compressed)-1], m.manifest.GetSize())
	f.Add([]byte{}, uint64(0))
	f.Add(m.compressed, uint64(1)<<40)
	f.Fuzz(func(t *testing.T, data []byte, size uint64) {
		raw, err := decompress(data, size)
		if err != nil {
			return
		}
		if uint64(len(raw)) != size {
			t.Fatalf("%d bytes, asked for %d", len(raw), size)
		}
		sum := sha256.Sum256(raw)
		manifest := &clusterpb.Manifest{Position: &clusterpb.Position{Epoch: "e", Version: 1, Hash: sum[:]}, Size: size}
		in, err := open(manifest, data)
		if err != nil {
			return
		}
		if err := proto.Unmarshal(raw, &clusterpb.Snapshot{}); err != nil || in.Hash != sum {
			t.Fatalf("accepted what does not decode: %v", err)
		}
		sum[0] ^= 1
		if _, err := open(manifest, data); err == nil {
			t.Fatal("another hash was accepted")
		}
	})
}
