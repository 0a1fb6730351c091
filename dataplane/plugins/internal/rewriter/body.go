package rewriter

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// ReadBody reads an answer to its end and closes it; one that is packed with gzip
// is unpacked. limit is the largest that is read, in bytes; 0: the default of a
// held answer. A larger one is plugin.ErrBodyTooLarge.
func ReadBody(response *http.Response, limit int64) (body []byte, err error) {
	defer func() { err = cmp.Or(err, response.Body.Close()) }()
	limit = cmp.Or(limit, plugin.MaxHeldResponse)
	var from io.Reader = response.Body
	if strings.EqualFold(strings.TrimSpace(response.Header.Get("Content-Encoding")), "gzip") {
		z, err := gzip.NewReader(response.Body)
		if err != nil {
			return nil, fmt.Errorf("unpack answer: %w", err)
		}
		from = z
	}
	body, err = io.ReadAll(io.LimitReader(from, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if int64(len(body)) > limit {
		return nil, plugin.ErrBodyTooLarge
	}
	return body, nil
}
