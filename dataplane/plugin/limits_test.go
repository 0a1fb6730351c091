package plugin

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestNodesLimits(t *testing.T) {
	for _, tt := range []struct {
		limits   Limits
		ask      int64
		body     int
		tooLarge bool
		held     int64
	}{
		{Limits{}, 0, 100, false, MaxHeldResponse},
		{Limits{}, 1 << 40, 100, false, MaxHeldResponse},
		{Limits{Body: 100, Response: 50}, 0, 100, false, 50},
		{Limits{Body: 100, Response: 50}, 0, 101, true, 50},
		{Limits{Body: 100, Response: 50}, 1 << 40, 101, true, 50},
		{Limits{Body: 100, Response: 50}, 40, 41, true, 40},
	} {
		var r Request
		r.SetLimits(tt.limits)
		r.SetSource(io.NopCloser(strings.NewReader(strings.Repeat("x", tt.body))), -1)
		if _, err := r.Body(tt.ask); errors.Is(err, ErrBodyTooLarge) != tt.tooLarge {
			t.Errorf("%+v: a body of %d, asked for with %d: %v", tt.limits, tt.body, tt.ask, err)
		}
		r.HoldResponse(tt.ask)
		if r.Held() != tt.held {
			t.Errorf("%+v: %d bytes may be held, want %d", tt.limits, r.Held(), tt.held)
		}
	}
}
