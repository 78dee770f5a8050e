package wire

import "neutrino"

// The types of the errors that parsing makes (api.md section 1.10).
const (
	TypeBadRequest = "HTTPBadRequest"
	TypeInternal   = "HTTPInternalServerError"
)

// BadRequest is the 400 of malformed requests.
func BadRequest(format string, args ...any) error {
	return neutrino.Errorf(neutrino.Invalid, TypeBadRequest, format, args...)
}

// BadValue is the 400 that a validator of an attribute gives.
func BadValue(attr, format string, args ...any) error {
	e := neutrino.Errorf(neutrino.Invalid, TypeBadRequest, format, args...)
	e.Message = "Invalid input for " + attr + ". Reason: " + e.Message + "."
	return e
}
