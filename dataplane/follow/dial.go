package follow

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
)

// connect follows one control plane until the stream ends.
func (f *Follower) connect(ctx context.Context, address string) ending {
	var refused atomic.Bool
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 15 * time.Second, Timeout: 15 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxFrame)),
		// The follower has its own backoff; grpc's would come on top of it.
		grpc.WithDisableServiceConfig(),
	}
	if f.cfg.TLS != nil {
		options[0] = grpc.WithTransportCredentials(handshake{credentials.NewTLS(f.cfg.TLS(address)), &refused})
	}
	if f.cfg.Dial != nil {
		options = append(options, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return f.cfg.Dial(ctx) }))
	}
	conn, err := grpc.NewClient("passthrough:///"+address, options...)
	if err != nil {
		return ending{pause: refusedPause, err: err}
	}
	s := session{follower: f, address: address}
	began := time.Now()
	err = s.run(ctx, clusterpb.NewClusterClient(conn))
	lasted := time.Since(began)
	err = errors.Join(err, conn.Close())

	e := ending{welcomed: s.welcomed, healthy: s.welcomed && lasted >= healthyAfter, pause: -1, err: err}
	switch code := status.Code(err); {
	case s.pause > 0:
		e.pause = min(s.pause, refusedPause)
	case s.leaving && lasted >= minBackoff: // else it would be a circle without a rest
		e.pause = 0
	case code == codes.InvalidArgument, code == codes.Unimplemented, refused.Load():
		e.pause = refusedPause
	}
	return e
}

// handshake is TLS that remembers whether the certificates were at fault, which
// another try does not cure. grpc hands such errors on as mere text.
type handshake struct {
	credentials.TransportCredentials
	refused *atomic.Bool
}

func (h handshake) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, info, err := h.TransportCredentials.ClientHandshake(ctx, authority, conn)
	if err != nil {
		if ctx.Err() == nil && permanent(err) {
			h.refused.Store(true)
		}
		return c, info, err
	}
	return &handshaken{Conn: c, refused: h.refused}, info, nil
}

func (h handshake) Clone() credentials.TransportCredentials {
	return handshake{h.TransportCredentials.Clone(), h.refused}
}

// handshaken notices the alert of a server that did not like our certificate:
// in TLS 1.3 the client's part of the handshake is over by then.
type handshaken struct {
	net.Conn
	refused *atomic.Bool
}

func (c *handshaken) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil && alert(err) {
		c.refused.Store(true)
	}
	return n, err
}

// alert says whether an error is a TLS alert that the peer sent.
func alert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// permanent tells a quarrel over certificates from a broken connection, and from
// something that does not speak TLS, such as a load balancer in distress.
func permanent(err error) bool {
	var network net.Error
	var record tls.RecordHeaderError
	switch {
	case alert(err):
		return true
	case errors.As(err, &network), errors.As(err, &record), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return false
	}
	return true
}
