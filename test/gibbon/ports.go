//go:build unix

package gibbon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// A test process has a block of ports to itself. They lie below those that systems
// give to outgoing connections, so that none of those takes one while a node is
// restarted.
const (
	lowestPort = 12000
	blockSize  = 500
	blocks     = 40
)

// ports hands out the ports of one block, round and round.
type ports struct {
	lock *os.File // held until the process ends

	mu    sync.Mutex
	first int
	next  int // below blockSize
}

// claimed is this process's block, claimed when it is first needed.
var claimed = sync.OnceValues(claimPorts)

// claimPorts finds a block that no other test process of this machine has: several
// packages are tested at once, and a port is chosen some time before a node has it.
func claimPorts() (*ports, error) {
	for i := range blocks {
		path := filepath.Join(os.TempDir(), fmt.Sprintf("gibbon-test-ports-%d.lock", i))
		lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
		if err != nil {
			return nil, fmt.Errorf("claim ports: %w", err)
		}
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			return &ports{lock: lock, first: lowestPort + i*blockSize}, nil
		}
		if err := lock.Close(); err != nil {
			return nil, fmt.Errorf("claim ports: %w", err)
		}
	}
	return nil, errors.New("claim ports: other test processes have all of them")
}

// free returns the next address on which nothing listens.
func (p *ports) free() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range blockSize {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(p.first+p.next))
		p.next = (p.next + 1) % blockSize
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue // a program that is no test of ours has it
		}
		return address, l.Close()
	}
	return "", errors.New("no free port")
}

// FreePorts returns different addresses of the loopback interface on which nothing
// listens, and which no other test is given soon.
func FreePorts(t testing.TB, n int) (addresses []string) {
	t.Helper()
	block, err := claimed()
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		address, err := block.free()
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, address)
	}
	return addresses
}
