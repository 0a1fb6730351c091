package echomodel

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// apiError is an answer in OpenAI's error form. Handlers return it; one place
// writes it.
type apiError struct {
	status  int
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

func (e *apiError) Error() string { return e.Message }

type errorBody struct {
	Error *apiError `json:"error"`
}

// invalid is a 400 about one request parameter; an empty param means the
// request as a whole.
func invalid(param, format string, args ...any) *apiError {
	e := &apiError{
		status:  http.StatusBadRequest,
		Message: fmt.Sprintf(format, args...),
		Type:    "invalid_request_error",
	}
	if param != "" {
		e.Param = &param
	}
	return e
}

func (e *apiError) withStatus(status int, code string) *apiError {
	e.status = status
	if code != "" {
		e.Code = &code
	}
	return e
}

// ordered is the error that a request asked for by status. Type and code are
// those that OpenAI pairs with the status.
func ordered(status int) *apiError {
	e := &apiError{status: status, Type: "invalid_request_error",
		Message: fmt.Sprintf("the echo model was asked to answer %d %s", status, http.StatusText(status))}
	code := ""
	switch {
	case status == http.StatusUnauthorized:
		code = "invalid_api_key"
	case status == http.StatusPaymentRequired:
		e.Type, code = "insufficient_quota", "insufficient_quota"
	case status == http.StatusNotFound:
		code = "model_not_found"
	case status == http.StatusTooManyRequests:
		e.Type, code = "rate_limit_error", "rate_limit_exceeded"
	case status == http.StatusServiceUnavailable:
		e.Type, code = "server_error", "overloaded"
	case status == http.StatusRequestTimeout, status >= 500:
		e.Type = "server_error"
	}
	return e.withStatus(status, code)
}

// decode reads a request body into the struct that v points to.
func decode(body []byte, v any) *apiError {
	err := json.Unmarshal(body, v)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if e.Field == "" {
			return invalid("", "the request body must be a JSON object, not a JSON %s", e.Value)
		}
		return invalid(e.Field, "%s has a value of the wrong kind: %s", e.Field, e.Value)
	}
	return invalid("", "the request body is not valid JSON: %v", err)
}
