package runtime_test

import (
	"crypto/tls"
	"errors"
	"testing"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/runtime"
	"github.com/gibbon-gateway/gibbon/internal/pki"
)

// A certificate that is the same in the next configuration is not read again, and
// one that changed under its id is.
func TestCertificatesAreKept(t *testing.T) {
	pem := func() (cert, key string) {
		c, k, err := pki.GenerateClusterPair(1)
		if err != nil {
			t.Fatal(err)
		}
		return string(c), string(k)
	}
	cert, key := pem()
	config := func(cert, key string) *runtime.Config {
		return &runtime.Config{
			Certificates: []*entitypb.Certificate{{Id: "c", Cert: cert, Key: key}},
			SNIs:         []*entitypb.Sni{{Id: "s", Name: "a.example", Certificate: ref("c")}},
		}
	}
	keeper := new(runtime.Keeper)
	build := func(c *runtime.Config) *runtime.Runtime {
		rt, err := runtime.BuildConfig(c, options(t, keeper))
		if err != nil {
			t.Fatal(err)
		}
		return rt
	}
	hello := &tls.ClientHelloInfo{ServerName: "a.example", SupportedVersions: []uint16{tls.VersionTLS13}}
	first := build(config(cert, key))
	second := build(config(cert, key))
	was := first.Certificate(hello)
	if was == nil || second.Certificate(hello) != was {
		t.Error("the same certificate was read twice")
	}
	first.Release()
	third := build(config(pem()))
	if third.Certificate(hello) == was {
		t.Error("the old certificate is shown")
	}
	second.Release()
	third.Release()
	if n := keeper.Kept(); n != 0 {
		t.Errorf("%d resources are kept at the end", n)
	}

	// A key of another certificate is refused, with the name of the entity, and so
	// it is the second time.
	other, _ := pem()
	for range 2 {
		var refused *runtime.BuildError
		_, err := runtime.BuildConfig(config(other, key), options(t, keeper))
		if !errors.As(err, &refused) || len(refused.Problems) != 1 || refused.Problems[0].Kind != "certificates" || refused.Problems[0].ID != "c" {
			t.Errorf("%v, want a BuildError about the certificate", err)
		}
	}
	if n := keeper.Kept(); n != 0 {
		t.Errorf("%d resources are kept after the refusal", n)
	}
}
