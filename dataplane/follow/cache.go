package follow

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
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
	generations    = 3
)

var cacheMagic = []byte{'G', 'I', 'B', 'S', 'N', 'A', 'P', cacheFormat}

// Cache is a folder with the last snapshots that a data plane has applied. One
// process uses it at a time.
type Cache struct {
	dir       string
	clusterID string
	sealer    cipher.AEAD // nil: plain bodies
}

// OpenCache readies the folder, which is made if it is missing. The cluster id
// says whose snapshots are accepted. The key, 32 bytes, encrypts them; without
// one they lie in the clear, readable by the file's owner alone.
func OpenCache(dir, clusterID string, key []byte) (*Cache, error) {
	c := &Cache{dir: dir, clusterID: clusterID}
	if key != nil {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("cache key: %w", err)
		}
		if c.sealer, err = cipher.NewGCM(block); err != nil {
			return nil, fmt.Errorf("cache key: %w", err)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cache folder: %w", err)
	}
	// What a killed process left behind half-written.
	rest, err := filepath.Glob(filepath.Join(dir, "tmp-*"))
	if err != nil {
		return nil, fmt.Errorf("cache folder: %w", err)
	}
	for _, path := range rest {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("cache folder: %w", err)
		}
	}
	return c, nil
}

// files lists the generations, newest first.
func (c *Cache) files() ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(c.dir, "snapshot-*.gibbon"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths) // the number has a fixed width
	slices.Reverse(paths)
	return paths, nil
}

// save writes a snapshot as the newest generation and drops those beyond the
// third. Size is that of the uncompressed bytes. The old ones stay whatever goes
// wrong.
func (c *Cache) save(in Incoming, size uint64, compressed []byte) (err error) {
	header := &clusterpb.CacheHeader{
		Position:      &clusterpb.Position{Epoch: in.Epoch, Version: in.Version, Hash: in.Hash[:]},
		Size:          size,
		ClusterId:     c.clusterID,
		WrittenUnixMs: time.Now().UnixMilli(),
	}
	b, err := c.encode(header, compressed)
	if err != nil {
		return err
	}
	paths, err := c.files()
	if err != nil {
		return err
	}
	next := uint64(1)
	if len(paths) > 0 {
		if _, err := fmt.Sscanf(filepath.Base(paths[0]), "snapshot-%d.gibbon", &next); err != nil {
			return fmt.Errorf("foreign file %s in the cache folder", paths[0])
		}
		next++
	}
	if err := c.write(filepath.Join(c.dir, fmt.Sprintf("snapshot-%016d.gibbon", next)), b); err != nil {
		return err
	}
	for _, old := range paths[min(len(paths), generations-1):] {
		err = errors.Join(err, os.Remove(old))
	}
	return err
}

// write puts a file in place all at once: a crash leaves the old state or the
// new one.
func (c *Cache) write(path string, b []byte) (err error) {
	f, err := os.CreateTemp(c.dir, "tmp-*") // mode 0600
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
		paths, err := c.files()
		if err != nil {
			yield(cached{path: c.dir}, err)
			return
		}
		for _, path := range paths {
			in, err := c.read(path)
			if !yield(cached{in, path}, err) {
				return
			}
		}
	}
}

func (c *Cache) read(path string) (Incoming, error) {
	f, err := os.Open(path)
	if err != nil {
		return Incoming{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCompressed+maxCacheHeader+1024))
	if err != nil {
		return Incoming{}, err
	}
	return c.decode(b)
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

// decode reads a cache file. Its errors say which check failed.
func (c *Cache) decode(b []byte) (Incoming, error) {
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
	in, err := open(&clusterpb.Manifest{Position: header.GetPosition(), Size: header.GetSize()}, body)
	if err != nil {
		return Incoming{}, fmt.Errorf("snapshot: %w", err)
	}
	return in, nil
}
