// Package auth is the station that says who is asking (nobody's word, an HTTP
// basic password or a Keystone token) and what they may do (policy).
package auth

import (
	"context"
	"net/http"
)

// Identity is who asks, as the authentication found it out.
type Identity struct {
	UserID    string
	ProjectID string // empty for a token that has no project
	DomainID  string // of a domain-scoped token
	// Roles are the names of the roles, in lower case.
	Roles []string
	// ServiceRoles are those of X-Service-Token, in lower case.
	ServiceRoles []string
	// System is a token of the whole system (OpenStack-System-Scope: all).
	System bool
}

// Authenticator finds out who sent a request.
//
// A request without a valid proof gives *[Unauthorized]; when it cannot be told
// whether the proof is valid, because the identity service does not answer, the
// error is a [neutrino.Error] with the code Unavailable that names the service.
type Authenticator interface {
	Authenticate(ctx context.Context, h http.Header) (Identity, error)
}

// Unauthorized is the refusal of a request that proves nothing: status 401
// with the header WWW-Authenticate (RFC 9110, section 11.6.1).
type Unauthorized struct {
	// Challenge is the value of WWW-Authenticate.
	Challenge string
	// Reason is for the log, and never holds a secret.
	Reason string
}

// Error is the reason.
func (u *Unauthorized) Error() string { return "auth: " + u.Reason }
