package follow

import (
	"bytes"
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
)

// A cache file is
//
//	magic          8 bytes, the last one is the format's version
//	header length  4 bytes, big endian
//	header         a clusterpb.CacheHeader
//	body           the zstd-compressed snapshot; sealed with AES-256-GCM, the
//	               header as additional data, when the cache has a key
//	sum            the SHA-256 of all before it
//
// so that a flipped bit anywhere, a cut, and another cluster's file are noticed.
const (
	cacheFormat    = 1
	maxCacheHeader = 64 << 10

	keptGenerations = 3
	temporary       = "tmp-" // begins the name of a file that is being written
)

var fileName = regexp.MustCompile(`^snapshot-([0-9]{16})\.gibbon$`)

var cacheMagic = []byte{'G', 'I', 'B', 'S', 'N', 'A', 'P', cacheFormat}

// Cache is a folder with the last snapshots that a data plane has applied. One
// process uses it at a time.
type Cache struct {
	dir       string
	clusterID string
	sealer    cipher.AEAD // nil: plain bodies
}

// OpenCache prepares the use of a folder, which is made when something is saved.
// The cluster id says whose snapshots are accepted. The key, 32 bytes, encrypts
// them; without one they lie in the clear, readable by the file's owner alone.
func OpenCache(dir, clusterID string, key []byte) (*Cache, error) {
	c := &Cache{dir: dir, clusterID: clusterID}
	if key == nil {
		return c, nil
	}
	if len(key) != 32 {
		return nil, fmt.Errorf("cache key has %d bytes, not 32", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("cache key: %w", err)
	}
	if c.sealer, err = cipher.NewGCM(block); err != nil {
		return nil, fmt.Errorf("cache key: %w", err)
	}
	return c, nil
}

// tidy removes what a killed process left behind half-written.
func (c *Cache) tidy() error {
	entries, err := os.ReadDir(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var all error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), temporary) {
			all = errors.Join(all, os.Remove(filepath.Join(c.dir, e.Name())))
		}
	}
	return all
}

// generation is a snapshot's file in the folder.
type generation struct {
	number uint64
	path   string
}

// generations lists the files, newest first. Others in the folder are nobody's
// business.
func (c *Cache) generations() ([]generation, error) {
	entries, err := os.ReadDir(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []generation
	for _, e := range entries {
		m := fileName.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		number, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil {
			return nil, err
		}
		list = append(list, generation{number, filepath.Join(c.dir, e.Name())})
	}
	slices.SortFunc(list, func(a, b generation) int { return cmp.Compare(b.number, a.number) })
	return list, nil
}

// save writes a snapshot as the newest generation and drops those beyond the
// third. Size is that of the uncompressed bytes. The old ones stay whatever goes
// wrong.
func (c *Cache) save(in Incoming, size uint64, compressed []byte) error {
	header := &clusterpb.CacheHeader{
		Position:      &clusterpb.Position{Epoch: in.Epoch, Version: in.Version, Hash: in.Hash[:]},
		Size:          size,
		ClusterId:     c.clusterID,
		WrittenUnixMs: time.Now().UnixMilli(),
		Generation:    1,
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	old, err := c.generations()
	if err != nil {
		return err
	}
	if len(old) > 0 {
		header.Generation = old[0].number + 1
	}
	name := fmt.Sprintf("snapshot-%016d.gibbon", header.GetGeneration())
	if !fileName.MatchString(name) {
		return fmt.Errorf("no generation can follow %s", old[0].path)
	}
	b, err := c.encode(header, compressed)
	if err != nil {
		return err
	}
	if err := c.write(filepath.Join(c.dir, name), b); err != nil {
		return err
	}
	for _, g := range old[min(len(old), keptGenerations-1):] {
		err = errors.Join(err, os.Remove(g.path))
	}
	return err
}

// write puts a file in place all at once: a crash leaves the old state or the
// new one.
func (c *Cache) write(path string, b []byte) (err error) {
	f, err := os.CreateTemp(c.dir, temporary+"*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if _, err := f.Write(b); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(c.dir)
	if err != nil {
		return fmt.Errorf("sync the cache folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// cached is a generation that was read, or the path of one that was not.
type cached struct {
	Incoming
	path string
}

// load yields the generations, newest first, each with what is wrong with it.
func (c *Cache) load() iter.Seq2[cached, error] {
	return func(yield func(cached, error) bool) {
		list, err := c.generations()
		if err != nil {
			yield(cached{path: c.dir}, err)
			return
		}
		for _, g := range list {
			in, err := c.read(g)
			if !yield(cached{in, g.path}, err) {
				return
			}
		}
	}
}

func (c *Cache) read(g generation) (Incoming, error) {
	f, err := os.Open(g.path)
	if err != nil {
		return Incoming{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCompressed+maxCacheHeader+1024))
	if err != nil {
		return Incoming{}, err
	}
	return c.decode(b, g.number)
}

func (c *Cache) encode(header *clusterpb.CacheHeader, compressed []byte) ([]byte, error) {
	if c.sealer != nil {
		header.Nonce = make([]byte, c.sealer.NonceSize())
		if _, err := rand.Read(header.Nonce); err != nil {
			return nil, err
		}
	}
	h, err := proto.Marshal(header)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, len(cacheMagic)+4+len(h)+len(compressed)+64)
	b = append(b, cacheMagic...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(h)))
	b = append(b, h...)
	if c.sealer != nil {
		b = c.sealer.Seal(b, header.GetNonce(), compressed, h)
	} else {
		b = append(b, compressed...)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...), nil
}

// decode reads the cache file of a generation. Its errors say which check failed.
func (c *Cache) decode(b []byte, number uint64) (Incoming, error) {
	if len(b) < len(cacheMagic)+4+sha256.Size {
		return Incoming{}, fmt.Errorf("length: %d bytes are no cache file", len(b))
	}
	name := len(cacheMagic) - 1
	if !bytes.Equal(b[:name], cacheMagic[:name]) {
		return Incoming{}, errors.New("magic: not a cache file")
	}
	if b[name] != cacheFormat {
		return Incoming{}, fmt.Errorf("format: version %d, this program reads %d", b[name], cacheFormat)
	}
	rest, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if got := sha256.Sum256(rest); !bytes.Equal(got[:], sum) {
		return Incoming{}, errors.New("sum: the file is damaged or cut")
	}
	rest = rest[len(cacheMagic):]
	n := binary.BigEndian.Uint32(rest)
	rest = rest[4:]
	if n > maxCacheHeader || uint64(n) > uint64(len(rest)) {
		return Incoming{}, fmt.Errorf("length: a header of %d bytes", n)
	}
	raw, body := rest[:n], rest[n:]
	var header clusterpb.CacheHeader
	if err := proto.Unmarshal(raw, &header); err != nil {
		return Incoming{}, fmt.Errorf("header: %w", err)
	}
	if header.GetClusterId() != c.clusterID {
		return Incoming{}, fmt.Errorf("cluster: the file is of cluster %q, this node belongs to %q", header.GetClusterId(), c.clusterID)
	}
	switch {
	case c.sealer != nil && len(header.GetNonce()) == 0:
		return Incoming{}, errors.New("decryption: the file is not encrypted, and this node has a key")
	case c.sealer == nil && len(header.GetNonce()) != 0:
		return Incoming{}, errors.New("decryption: the file is encrypted, and this node has no key")
	case c.sealer != nil:
		if len(header.GetNonce()) != c.sealer.NonceSize() {
			return Incoming{}, fmt.Errorf("decryption: a nonce of %d bytes", len(header.GetNonce()))
		}
		var err error
		if body, err = c.sealer.Open(nil, header.GetNonce(), body, raw); err != nil {
			return Incoming{}, errors.New("decryption: another key, or a damaged file")
		}
	}
	if header.GetGeneration() != number {
		return Incoming{}, fmt.Errorf("generation: the file was written as number %d", header.GetGeneration())
	}
	in, err := open(&clusterpb.Manifest{Position: header.GetPosition(), Size: header.GetSize()}, body)
	if err != nil {
		return Incoming{}, fmt.Errorf("snapshot: %w", err)
	}
	return in, nil
}
