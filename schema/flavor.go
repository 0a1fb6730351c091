package schema

import (
	"fmt"
	"slices"
	"strings"

	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"
)

// flavor is the router's flavour, in which a part of the rules may not apply.
type flavor string

// flavors are those that there are.
var flavors = []string{"traditional", "traditional_compatible", "expressions"}

// among says whether a list, as it stands in a proto, has the flavour; an empty
// list has all. The error names one that there is not.
func (fl flavor) among(list []string) (bool, error) {
	for _, name := range list {
		if !slices.Contains(flavors, name) {
			return false, fmt.Errorf("no router flavor %q: there are %s", name, strings.Join(flavors, ", "))
		}
	}
	return len(list) == 0 || slices.Contains(list, string(fl)), nil
}

// override is the record with more rules on its fields, those of other flavours
// left out.
func (fl flavor) override(rec *record, more []*schemapb.SubschemaField) (*record, error) {
	for _, over := range more {
		applies, err := fl.among(over.GetRules().GetFlavors())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", over.GetName(), err)
		}
		if !applies {
			continue
		}
		if rec, err = rec.override(over.GetName(), over.GetRules()); err != nil {
			return nil, err
		}
	}
	return rec, nil
}
