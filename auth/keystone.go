package auth

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"

	"neutrino"
)

// KeystoneOptions are those of keystonemiddleware's section [keystone_authtoken],
// whose names stand in brackets.
type KeystoneOptions struct {
	// AuthURL [auth_url] is the identity service: "http://controller:5000/v3"; the
	// /v3 may be missing.
	AuthURL string
	// The service account that asks about tokens [username, password, project_name,
	// user_domain_name, project_domain_name, user_domain_id, project_domain_id]; an ID
	// of a domain wins over its name, and the domains are Default by default.
	Username, Password, ProjectName, UserDomainName, ProjectDomainName string
	UserDomainID, ProjectDomainID                                      string
	// WWWAuthenticateURI [www_authenticate_uri] is the identity service as clients
	// reach it, for the answer 401; AuthURL by default.
	WWWAuthenticateURI string
	// TokenCacheTime [token_cache_time] is how long a token is believed without
	// asking again, and so how long a revoked one still works: 0 is the default of
	// 300 s, negative none; more than 300 s is refused.
	TokenCacheTime time.Duration
	// ServiceTokenRoles [service_token_roles], "service" by default, are the roles
	// that make X-Service-Token one of a service: with one of them the user's token
	// may have expired.
	ServiceTokenRoles []string
	// ServiceTokenRolesRequired [service_token_roles_required] refuses an
	// X-Service-Token that has none of those roles.
	ServiceTokenRolesRequired bool
	CAFile                    string        // [cafile] of certificates to trust instead of the system's
	Insecure                  bool          // [insecure] trusts any certificate
	Timeout                   time.Duration // [http_connect_timeout] of one attempt; 0 is 10 s
	Retries                   int           // [http_request_max_retries] after the first attempt; 0 is 2, negative none
	// Region [region_name] and Interface [interface] ask, instead of AuthURL, the
	// identity endpoint of that region and interface in the service account's catalog
	// about tokens: the internal one where only the region is named, the first region's
	// where only the interface is.
	Region, Interface string
}

const (
	maxTokenCacheTime = 300 * time.Second
	// A token that was refused is refused again for this long without asking.
	refusedTime    = 10 * time.Second
	tokensKept     = 20000
	refusalsKept   = 5000
	maxToken       = 8192 // bytes: what a header of other servers holds at most
	defaultTimeout = 10 * time.Second
	defaultRetries = 2
)

// keystone believes tokens of the identity service.
type keystone struct {
	opts      KeystoneOptions
	challenge string
	client    *identityClient
	known     *memory[Identity]
	refused   *memory[struct{}]
	flights   singleflight.Group
	now       func() time.Time
}

// Keystone believes tokens of the Identity API v3: X-Auth-Token, and beside it
// X-Service-Token. What a client says of itself in other headers is not looked
// at. It asks the identity service with an account of its own, and keeps what it
// was told, by a hash of the token, for TokenCacheTime and never past the token's
// expiry. Requests with one token that come together ask once.
//
// While the identity service does not answer, tokens that were asked about before
// still work for that time; others get Unavailable.
func Keystone(o KeystoneOptions) (Authenticator, error) {
	k, err := newKeystone(o, time.Now)
	if err != nil {
		return nil, err
	}
	return k, nil
}

func newKeystone(o KeystoneOptions, now func() time.Time) (*keystone, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxConnsPerHost, transport.MaxIdleConnsPerHost = 32, 32
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.Insecure}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("[keystone_authtoken] cafile: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("[keystone_authtoken] cafile: %s holds no certificate in PEM", o.CAFile)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return &keystone{
		opts:      o,
		challenge: fmt.Sprintf("Keystone uri=%q", o.WWWAuthenticateURI),
		client: &identityClient{opts: o, now: now, http: &http.Client{
			Transport: transport,
			Timeout:   o.Timeout,
			// A redirect would carry our token to whoever the answer names.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}},
		known: newMemory[Identity](tokensKept), refused: newMemory[struct{}](refusalsKept), now: now,
	}, nil
}

// complete checks the options and puts the defaults in.
func (o *KeystoneOptions) complete() error {
	for _, s := range []struct{ name, value string }{{"auth_url", o.AuthURL}, {"username", o.Username}, {"password", o.Password}, {"project_name", o.ProjectName}} {
		if s.value == "" {
			return fmt.Errorf("[keystone_authtoken] %s: not set; auth_strategy = keystone needs a service account", s.name)
		}
	}
	if o.WWWAuthenticateURI == "" {
		o.WWWAuthenticateURI = o.AuthURL
	}
	for _, s := range []struct{ name, value string }{{"auth_url", o.AuthURL}, {"www_authenticate_uri", o.WWWAuthenticateURI}} {
		u, err := url.Parse(s.value)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(s.value, `"\`) {
			return fmt.Errorf("[keystone_authtoken] %s: not an address such as http://controller:5000/v3", s.name)
		}
	}
	o.AuthURL = versioned(o.AuthURL)
	if o.TokenCacheTime > maxTokenCacheTime {
		return fmt.Errorf("[keystone_authtoken] token_cache_time: %v is more than %v, and a revoked token would work as long: make it shorter",
			o.TokenCacheTime, maxTokenCacheTime)
	}
	if o.TokenCacheTime == 0 {
		o.TokenCacheTime = maxTokenCacheTime
	}
	if len(o.ServiceTokenRoles) == 0 {
		o.ServiceTokenRoles = []string{"service"}
	}
	o.ServiceTokenRoles = lowered(o.ServiceTokenRoles)
	if o.UserDomainName == "" {
		o.UserDomainName = "Default"
	}
	if o.ProjectDomainName == "" {
		o.ProjectDomainName = "Default"
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Retries == 0 {
		o.Retries = defaultRetries
	}
	return nil
}

// versioned is the address of the Identity API v3.
func versioned(address string) string {
	return strings.TrimSuffix(strings.TrimRight(address, "/"), "/v3") + "/v3"
}

func lowered(names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		out = append(out, strings.ToLower(n))
	}
	return out
}

// Authenticate finds out whose the tokens in the headers are.
func (k *keystone) Authenticate(ctx context.Context, h http.Header) (Identity, error) {
	token := h.Get("X-Auth-Token")
	if token == "" {
		return Identity{}, k.unauthorized("no header X-Auth-Token")
	}
	var service []string
	fromService := false
	if t := h.Get("X-Service-Token"); t != "" {
		who, err := k.identify(ctx, question{token: t})
		if err != nil {
			return Identity{}, about("X-Service-Token", err)
		}
		service = who.Roles
		fromService = slices.ContainsFunc(service, func(r string) bool { return slices.Contains(k.opts.ServiceTokenRoles, r) })
		if !fromService && k.opts.ServiceTokenRolesRequired {
			return Identity{}, k.unauthorized("X-Service-Token has none of the roles " + strings.Join(k.opts.ServiceTokenRoles, ", "))
		}
	}
	who, err := k.identify(ctx, question{token: token, expired: fromService})
	if err != nil {
		return Identity{}, about("X-Auth-Token", err)
	}
	who.ServiceRoles = service
	return who, nil
}

func (k *keystone) unauthorized(reason string) error { return &Unauthorized{k.challenge, reason} }

// about says which of the tokens a refusal is about.
func about(header string, err error) error {
	var refused *Unauthorized
	if errors.As(err, &refused) {
		return &Unauthorized{refused.Challenge, header + ": " + refused.Reason}
	}
	return err
}

// question is whose a token is. expired accepts one whose time is over, because a
// service carries on with it what its user began.
type question struct {
	token   string
	expired bool
}

// identify answers from what is known, or asks.
func (k *keystone) identify(ctx context.Context, q question) (Identity, error) {
	// What is not printable could not be sent on as a header.
	if len(q.token) > maxToken || strings.ContainsFunc(q.token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return Identity{}, k.unauthorized("not a token")
	}
	key := sha256.Sum256([]byte(q.token))
	if q.expired {
		key[0] ^= 1 // another question
	}
	if who, ok := k.known.get(key, k.now()); ok {
		return who, nil
	}
	if _, ok := k.refused.get(key, k.now()); ok {
		return Identity{}, k.unauthorized("the identity service does not know the token")
	}
	// The first of several clients may go while the others wait, so that the
	// request to the identity service goes on without it; its deadlines end it.
	asked := k.flights.DoChan(string(key[:]), func() (any, error) {
		return k.ask(context.WithoutCancel(ctx), q, key)
	})
	select {
	case <-ctx.Done():
		return Identity{}, fmt.Errorf("waiting for the identity service: %w", context.Cause(ctx))
	case answer := <-asked:
		who, _ := answer.Val.(Identity)
		return who, answer.Err
	}
}

// ask asks the identity service and remembers the answer.
func (k *keystone) ask(ctx context.Context, q question, key [32]byte) (Identity, error) {
	// Two hung attempts are enough, whatever they are made of.
	ctx, cancel := context.WithTimeout(ctx, 2*k.opts.Timeout)
	defer cancel()
	t, err := k.client.validate(ctx, q)
	now := k.now()
	switch {
	case errors.Is(err, errUnknownToken):
		k.refused.put(key, struct{}{}, now.Add(refusedTime))
		return Identity{}, k.unauthorized("the identity service does not know the token")
	case err != nil:
		return Identity{}, k.unavailable(err)
	case !now.Before(t.ExpiresAt) && !q.expired:
		return Identity{}, k.unauthorized("the token has expired")
	}
	who := t.identity()
	until := now.Add(k.opts.TokenCacheTime)
	if t.ExpiresAt.Before(until) {
		until = t.ExpiresAt
	}
	if now.Before(until) {
		k.known.put(key, who, until)
	}
	return who, nil
}

// unavailable tells the client which service fails, and the log why.
func (k *keystone) unavailable(cause error) error {
	e := neutrino.Errorf(neutrino.Unavailable, "ServiceUnavailable",
		"The identity service (Keystone) at %s cannot check the token now. Try again later.", k.opts.WWWAuthenticateURI)
	return &outage{e, cause}
}

// outage is an error for the client with its cause for the log.
type outage struct {
	told  *neutrino.Error
	cause error
}

// Error is the cause as well.
func (o *outage) Error() string { return o.told.Message + " " + o.cause.Error() }

// Unwrap is what the client is told, and the cause.
func (o *outage) Unwrap() []error { return []error{o.told, o.cause} }
