package api

import (
	"errors"
	"net/http"
	"strings"

	"neutrino"
)

// The types of errors that the API itself makes (api.md section 1.10).
const (
	typeBadRequest       = "HTTPBadRequest"
	typeBadQuery         = "BadRequest"
	typeHTTPNotFound     = "HTTPNotFound"
	typeMethodNotAllowed = "HTTPMethodNotAllowed"
	typeNotImplemented   = "HTTPNotImplemented"
	typeTooLarge         = "HTTPRequestEntityTooLarge"
	typeInternal         = "HTTPInternalServerError"
	typePolicy           = "PolicyNotAuthorized"
)

// httpError is a failure whose status is not one of the nouns' codes.
type httpError struct {
	status int
	typ    string
	text   string
}

func (e *httpError) Error() string { return e.text }

// badRequest is the 400 of malformed requests.
func badRequest(format string, args ...any) error {
	return neutrino.Errorf(neutrino.Invalid, typeBadRequest, format, args...)
}

// badValue is the 400 that a validator of an attribute gives.
func badValue(attr, format string, args ...any) error {
	e := neutrino.Errorf(neutrino.Invalid, typeBadRequest, format, args...)
	e.Message = "Invalid input for " + attr + ". Reason: " + e.Message + "."
	return e
}

// noResource is the 404 of a path that nothing answers.
func noResource() error {
	return neutrino.Errorf(neutrino.NotFound, typeHTTPNotFound, "The resource could not be found.")
}

// forbidden is the 403 of a policy rule, named as Neutron's are.
func forbidden(rule string) error {
	return neutrino.Errorf(neutrino.Forbidden, typePolicy, "%s is disallowed by policy", rule)
}

// statusOf is the HTTP status of a kind of failure (api.md section 1.10).
func statusOf(c neutrino.Code) int {
	switch c {
	case neutrino.Invalid:
		return http.StatusBadRequest
	case neutrino.Forbidden:
		return http.StatusForbidden
	case neutrino.NotFound:
		return http.StatusNotFound
	case neutrino.Conflict:
		return http.StatusConflict
	case neutrino.Precondition:
		return http.StatusPreconditionFailed
	case neutrino.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// errorReply is the answer to a failed request. The text of an internal error
// stays in the log.
func errorReply(err error) *reply {
	var e *httpError
	if !errors.As(err, &e) {
		n := neutrino.AsError(err)
		e = &httpError{status: statusOf(n.Code), typ: n.Type, text: n.Message}
	}
	if e.status == http.StatusInternalServerError {
		e = &httpError{http.StatusInternalServerError, typeInternal,
			"Request Failed: internal server error while processing your request."}
	}
	b := append([]byte(nil), `{"NeutronError":{"type":`...)
	b = appendString(b, e.typ)
	b = append(b, `,"message":`...)
	b = appendString(b, strings.ToValidUTF8(e.text, "?"))
	b = append(b, `,"detail":""}}`...)
	return &reply{status: e.status, body: b}
}
