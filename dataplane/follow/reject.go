package follow

import (
	"errors"
	"fmt"
	"strings"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
)

// RejectError is an Apply error that names what could not be applied.
type RejectError struct{ Reasons []*clusterpb.Reason }

func (e *RejectError) Error() string {
	if len(e.Reasons) == 0 {
		return "snapshot refused"
	}
	r := e.Reasons[0]
	text := r.GetMessage()
	if r.GetField() != "" {
		text = r.GetField() + ": " + text
	}
	if r.GetEntityKind() != "" {
		text = fmt.Sprintf("%s %s (%s): %s", r.GetEntityKind(), r.GetEntityName(), r.GetEntityId(), text)
	}
	if n := len(e.Reasons) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return text
}

// Bounds on the reasons of one refusal.
const (
	maxReasons     = 100
	maxReasonBytes = 64 << 10
)

// reasons are what the control plane is told of an Apply error, cut to the
// bounds.
func reasons(err error) []*clusterpb.Reason {
	given := []*clusterpb.Reason{{Message: err.Error()}}
	var reject *RejectError
	if errors.As(err, &reject) && len(reject.Reasons) > 0 {
		given = reject.Reasons
	}
	budget := maxReasonBytes
	// Text that is not UTF-8 could not be sent at all.
	cut := func(text string) string {
		text = strings.ToValidUTF8(text, "\uFFFD")
		if len(text) > budget {
			text = strings.ToValidUTF8(text[:budget], "")
		}
		budget -= len(text)
		return text
	}
	var list []*clusterpb.Reason
	for _, r := range given {
		if len(list) == maxReasons || budget <= 0 {
			break
		}
		list = append(list, &clusterpb.Reason{
			EntityKind: cut(r.GetEntityKind()),
			EntityId:   cut(r.GetEntityId()),
			EntityName: cut(r.GetEntityName()),
			Field:      cut(r.GetField()),
			Message:    cut(r.GetMessage()),
		})
	}
	return list
}
