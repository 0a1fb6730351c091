package runtime

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/gibbon-gateway/gibbon/schema"
)

// Decoder reads plugin configurations by their schemas: a field that the
// control plane did not know yet gets its default.
func Decoder(catalogue *schema.Catalogue) func(name string, config []byte, into proto.Message) error {
	return func(name string, config []byte, into proto.Message) error {
		s, ok := catalogue.Plugin(name)
		if !ok {
			return fmt.Errorf("plugin %q has no schema on this node", name)
		}
		doc, err := schema.Parse(config)
		if err != nil {
			return fmt.Errorf("read the configuration: %w", err)
		}
		return s.Unmarshal(doc, into)
	}
}
