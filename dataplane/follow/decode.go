package follow

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
)

// Limits on what is accepted from a control plane and from a cache file. Nothing
// is allocated from a length that was not checked against them.
const (
	maxSize       = 256 << 20
	maxCompressed = 64 << 20
	maxFrame      = 1 << 20 // they are 256 KiB; a later control plane may differ
	maxEpoch      = 256
)

// check judges a manifest before any of its frames; most is how many bytes it may
// have after compression.
func check(m *clusterpb.Manifest, most uint64) error {
	p := m.GetPosition()
	switch {
	case len(p.GetHash()) != sha256.Size:
		return fmt.Errorf("hash has %d bytes, not %d", len(p.GetHash()), sha256.Size)
	case len(p.GetEpoch()) > maxEpoch:
		return fmt.Errorf("epoch has %d bytes, the limit is %d", len(p.GetEpoch()), maxEpoch)
	case m.GetContentHeld():
		return nil
	case m.GetSize() > maxSize || m.GetCompressedSize() > most:
		return fmt.Errorf("snapshot has %d bytes, compressed %d; the limits are %d and %d",
			m.GetSize(), m.GetCompressedSize(), maxSize, most)
	case m.GetCompressedSize() == 0:
		return fmt.Errorf("snapshot is empty")
	}
	return nil
}

// open checks a compressed snapshot against its manifest and decodes it. Whether
// the node can read its format is for Apply to judge.
func open(m *clusterpb.Manifest, data []byte) (Incoming, error) {
	p := m.GetPosition()
	in := Incoming{Epoch: p.GetEpoch(), Version: p.GetVersion()}
	if len(p.GetHash()) != sha256.Size {
		return in, fmt.Errorf("hash has %d bytes, not %d", len(p.GetHash()), sha256.Size)
	}
	copy(in.Hash[:], p.GetHash())
	raw, err := decompress(data, m.GetSize())
	if err != nil {
		return in, err
	}
	if sum := sha256.Sum256(raw); !bytes.Equal(sum[:], in.Hash[:]) {
		return in, fmt.Errorf("hash is %x, not %x", sum, in.Hash)
	}
	in.Snapshot = &clusterpb.Snapshot{}
	if err := proto.Unmarshal(raw, in.Snapshot); err != nil {
		return in, fmt.Errorf("decode: %w", err)
	}
	return in, nil
}

// decompress reads zstd data whose content has exactly the given size.
func decompress(data []byte, size uint64) ([]byte, error) {
	if size > maxSize {
		return nil, fmt.Errorf("snapshot has %d bytes, the limit is %d", size, maxSize)
	}
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(max(size, 1<<20)))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := r.DecodeAll(data, nil)
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if uint64(len(raw)) != size {
		return nil, fmt.Errorf("snapshot has %d bytes, the manifest says %d", len(raw), size)
	}
	return raw, nil
}
