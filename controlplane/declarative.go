package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/gibbon-gateway/gibbon/controlplane/declarative"
	"github.com/gibbon-gateway/gibbon/internal/settings"
)

// fileActor is who the change log names for what the settings name.
const fileActor = "declarative_config"

// loadDeclarative makes what the settings name the configuration of a node
// without a database. They may name nothing: then it comes by the Admin API.
func (c *ControlPlane) loadDeclarative(ctx context.Context, s *settings.Settings) error {
	text, name := []byte(s.DeclarativeDoc), "declarative_config_string"
	if s.Declarative != "" {
		name = "declarative config file " + s.Declarative
		var err error
		if text, err = os.ReadFile(s.Declarative); err != nil {
			return fmt.Errorf("declarative_config: %w", err)
		}
	}
	if len(text) == 0 && s.Declarative == "" {
		return nil
	}
	_, err := c.loader.Load(ctx, fileActor, text, false)
	if invalid := (*declarative.Error)(nil); errors.As(err, &invalid) {
		return fmt.Errorf("error parsing %s:\n%s", name, invalid.Text())
	}
	if err != nil {
		return fmt.Errorf("load %s: %w", name, err)
	}
	return nil
}
