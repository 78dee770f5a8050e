package api

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"neutrino"
	"neutrino/api/admission"
	"neutrino/api/door"
	"neutrino/api/wire"
	"neutrino/auth"
)

// The types of errors that the API itself makes (api.md section 1.10).
const (
	typeBadQuery         = "BadRequest"
	typeHTTPNotFound     = "HTTPNotFound"
	typeMethodNotAllowed = "HTTPMethodNotAllowed"
	typeNotImplemented   = "HTTPNotImplemented"
	typeTooLarge         = "HTTPRequestEntityTooLarge"
	typePolicy           = "PolicyNotAuthorized"
	typeDoor             = "RequestNotAdmitted"
	typeLongURI          = "HTTPRequestURITooLong"
	typeTooMany          = "HTTPTooManyRequests"
)

// httpError is a failure whose status is not one of the nouns' codes.
type httpError struct {
	status int
	typ    string
	text   string
}

func (e *httpError) Error() string { return e.text }

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
	var full *admission.Refusal
	var busy *auth.Busy
	var retry time.Duration
	var shut *door.Refusal
	switch {
	case errors.As(err, &shut):
		e = &httpError{shut.Status, typeDoor, shut.Text}
	case errors.As(err, &full):
		e, retry = fullError(full), full.After
	case errors.As(err, &busy):
		e, retry = &httpError{http.StatusTooManyRequests, typeTooMany, busy.Error()}, busy.After
	case !errors.As(err, &e):
		n := neutrino.AsError(err)
		e = &httpError{status: statusOf(n.Code), typ: n.Type, text: n.Message}
	}
	if e.status == http.StatusInternalServerError {
		e = &httpError{http.StatusInternalServerError, wire.TypeInternal,
			"Request Failed: internal server error while processing your request."}
	}
	b := append([]byte(nil), `{"NeutronError":{"type":`...)
	b = wire.AppendString(b, e.typ)
	b = append(b, `,"message":`...)
	b = wire.AppendString(b, shortened(e.text))
	b = append(b, `,"detail":""}}`...)
	return &reply{status: e.status, body: b, retry: retry}
}

// fullError is the status of a request that was not let in.
func fullError(r *admission.Refusal) *httpError {
	e := &httpError{http.StatusServiceUnavailable, "ServiceUnavailable", "The request was not let in: " + r.Error() + "."}
	switch {
	case r.After == 0:
		e.status, e.typ = http.StatusRequestEntityTooLarge, typeTooLarge
	case r.Own:
		e.status, e.typ = http.StatusTooManyRequests, typeTooMany
	}
	return e
}

// longestMessage is how many bytes of a failure's text an answer has: it repeats
// what was sent, and a request of a megabyte is not sent back three times as long.
const longestMessage = 8 << 10

// shortened is a text as it can stand in an answer.
func shortened(text string) string {
	if len(text) <= longestMessage {
		return strings.ToValidUTF8(text, "?")
	}
	return strings.ToValidUTF8(text[:longestMessage], "") + "…"
}
