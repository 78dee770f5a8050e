package neutrino

import (
	"errors"
	"fmt"
)

// Code says what kind of failure an [Error] is; the API maps it to a status.
type Code int

// The kinds of failure.
const (
	Internal     Code = iota // a defect or a broken store: 500
	Invalid                  // the request's content: 400
	Forbidden                // not allowed: 403
	NotFound                 // no such object, or not visible: 404
	Conflict                 // the state forbids it now: 409
	Precondition             // If-Match did not hold: 412
	Unavailable              // resources exhausted, or no service: 503
)

// Error is a failure that a client can act on. Type is Neutron's exception
// class name, which clients compare literally (api.md section 1.10).
type Error struct {
	Code    Code
	Type    string
	Message string
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Errorf makes an [Error].
func Errorf(code Code, typ, format string, args ...any) *Error {
	return &Error{Code: code, Type: typ, Message: fmt.Sprintf(format, args...)}
}

// Invalidf is the commonest error: 400 of type InvalidInput, with Neutron's
// opening words.
func Invalidf(format string, args ...any) *Error {
	return Errorf(Invalid, "InvalidInput", "Invalid input for operation: "+format+".", args...)
}

// AsError finds the [Error] in a chain of errors, or makes an Internal one.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Errorf(Internal, "HTTPInternalServerError", "%v", err)
}
