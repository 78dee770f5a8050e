package auth

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	maxAnswer = 4 << 20 // bytes of an answer of the identity service
	// Our own token is renewed this long before its end, so that it does not end on
	// the way.
	renewBefore = time.Minute
	firstPause  = 100 * time.Millisecond // before the first repetition; then twice as long each time
)

// errUnknownToken is the identity service's word that a token is not valid.
var errUnknownToken = errors.New("the identity service does not know the token")

// identityClient speaks the Identity API v3 with an account of its own.
type identityClient struct {
	opts KeystoneOptions
	http *http.Client
	now  func() time.Time

	logins singleflight.Group
	mu     sync.Mutex
	own    ownToken
}

// ownToken is the service account's. address is where to ask about others.
type ownToken struct {
	token   string
	renew   time.Time
	address string
}

// tokenBody is what the Identity API says of a token.
type tokenBody struct {
	ExpiresAt time.Time `json:"expires_at"`
	User      struct {
		ID string `json:"id"`
	} `json:"user"`
	Project *struct {
		ID string `json:"id"`
	} `json:"project"`
	Domain *struct {
		ID string `json:"id"`
	} `json:"domain"`
	System *struct {
		All bool `json:"all"`
	} `json:"system"`
	Roles []struct {
		Name string `json:"name"`
	} `json:"roles"`
	Catalog []struct {
		Type      string `json:"type"`
		Endpoints []struct {
			Interface string `json:"interface"`
			Region    string `json:"region"`
			URL       string `json:"url"`
		} `json:"endpoints"`
	} `json:"catalog"`
}

// identity is the caller that a token stands for. A token of no project, domain or
// system has no roles anywhere.
func (t *tokenBody) identity() Identity {
	who := Identity{UserID: t.User.ID}
	if t.Project != nil {
		who.ProjectID = t.Project.ID
	}
	if t.Domain != nil {
		who.DomainID = t.Domain.ID
	}
	who.System = t.System != nil && t.System.All
	if who.ProjectID == "" && who.DomainID == "" && !who.System {
		return who
	}
	for _, r := range t.Roles {
		who.Roles = append(who.Roles, strings.ToLower(r.Name))
	}
	return who
}

// answer is one of the identity service's.
type answer struct {
	status int
	token  string // X-Subject-Token
	body   tokenBody
}

// validate asks whose a token is. errUnknownToken is a token that is not valid;
// any other error is the identity service's or our account's.
func (c *identityClient) validate(ctx context.Context, q question) (*tokenBody, error) {
	renewed := false
	for {
		own, err := c.ownToken(ctx)
		if err != nil {
			return nil, err
		}
		address := own.address + "/auth/tokens?nocatalog"
		if q.expired {
			address += "&allow_expired=1"
		}
		a, err := c.send(ctx, func() (*http.Request, error) {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
			if err == nil {
				r.Header.Set("X-Auth-Token", own.token)
				r.Header.Set("X-Subject-Token", q.token)
			}
			return r, err
		})
		switch {
		case err != nil:
			return nil, err
		case a.status == http.StatusOK && a.body.ExpiresAt.IsZero():
			return nil, errors.New("GET /v3/auth/tokens: the answer does not say when the token expires")
		case a.status == http.StatusOK:
			return &a.body, nil
		case a.status == http.StatusNotFound:
			return nil, errUnknownToken
		case a.status == http.StatusUnauthorized && !renewed:
			// Ours was revoked, or Keystone's keys were rotated away.
			c.forget(own.token)
			renewed = true
		case a.status == http.StatusForbidden || a.status == http.StatusUnauthorized:
			return nil, fmt.Errorf("GET /v3/auth/tokens: status %d: the service account %q may not ask about tokens: give it the role service or admin", a.status, c.opts.Username)
		default:
			return nil, fmt.Errorf("GET /v3/auth/tokens: status %d", a.status)
		}
	}
}

// ownToken is the service account's token, a new one when the time of the last is
// nearly over. Who needs one at the same time shares the login and its failure.
func (c *identityClient) ownToken(ctx context.Context) (ownToken, error) {
	c.mu.Lock()
	own := c.own
	c.mu.Unlock()
	if own.token != "" && c.now().Before(own.renew) {
		return own, nil
	}
	v, err, _ := c.logins.Do("", func() (any, error) {
		own, err := c.logIn(ctx)
		if err == nil {
			c.mu.Lock()
			c.own = own
			c.mu.Unlock()
		}
		return own, err
	})
	own, _ = v.(ownToken)
	return own, err
}

// logIn gets a token with the service account's password.
func (c *identityClient) logIn(ctx context.Context) (ownToken, error) {
	body, err := json.Marshal(c.login())
	if err != nil {
		return ownToken{}, fmt.Errorf("logging in to the identity service: %w", err)
	}
	a, err := c.send(ctx, func() (*http.Request, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.opts.AuthURL+"/auth/tokens", bytes.NewReader(body))
		if err == nil {
			r.Header.Set("Content-Type", "application/json")
		}
		return r, err
	})
	switch {
	case err != nil:
		return ownToken{}, err
	case a.status == http.StatusUnauthorized:
		return ownToken{}, fmt.Errorf("POST /v3/auth/tokens: status 401: check [keystone_authtoken] username (%q), password, project_name (%q) and their domains",
			c.opts.Username, c.opts.ProjectName)
	case a.status != http.StatusCreated && a.status != http.StatusOK || a.token == "":
		return ownToken{}, fmt.Errorf("POST /v3/auth/tokens: status %d, and no token", a.status)
	}
	own := ownToken{token: a.token, address: c.opts.AuthURL}
	// A token that lives shortly is renewed at half its time.
	left := a.body.ExpiresAt.Sub(c.now())
	own.renew = a.body.ExpiresAt.Add(-min(renewBefore, left/2))
	if c.opts.Region != "" || c.opts.Interface != "" {
		own.address, err = a.body.identityEndpoint(c.opts.Region, cmp.Or(c.opts.Interface, "internal"))
	}
	return own, err
}

// forget drops our token, unless another request has renewed it.
func (c *identityClient) forget(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own.token == token {
		c.own = ownToken{}
	}
}

// login is the body of a login by password (Identity API v3, "Password
// authentication with scoped authorization").
func (c *identityClient) login() any {
	type object = map[string]any
	return object{"auth": object{
		"identity": object{"methods": []string{"password"}, "password": object{"user": object{
			"name": c.opts.Username, "password": c.opts.Password, "domain": domain(c.opts.UserDomainID, c.opts.UserDomainName),
		}}},
		"scope": object{"project": object{"name": c.opts.ProjectName, "domain": domain(c.opts.ProjectDomainID, c.opts.ProjectDomainName)}},
	}}
}

// domain names a domain in a login.
func domain(id, name string) map[string]any {
	if id != "" {
		return map[string]any{"id": id}
	}
	return map[string]any{"name": name}
}

// identityEndpoint is the address of a region's identity service, of any region
// for "".
func (t *tokenBody) identityEndpoint(region, face string) (string, error) {
	for _, s := range t.Catalog {
		for _, e := range s.Endpoints {
			if s.Type == "identity" && e.Interface == face && (region == "" || e.Region == region) {
				return versioned(e.URL), nil
			}
		}
	}
	return "", fmt.Errorf("the catalog has no %s endpoint of the identity service in region %q: check [keystone_authtoken] region_name and interface", face, region)
}

// send asks until there is an answer of the service itself, with pauses in
// between: connections that fail, and statuses of an overloaded service or of a
// proxy in front, are tried again. No error holds a token or the password.
func (c *identityClient) send(ctx context.Context, request func() (*http.Request, error)) (*answer, error) {
	pause := firstPause
	for attempt := 0; ; attempt++ {
		r, err := request()
		if err != nil {
			return nil, fmt.Errorf("asking the identity service: %w", err)
		}
		a, err := c.once(r)
		if err == nil && a.status < http.StatusInternalServerError && a.status != http.StatusTooManyRequests {
			return a, nil
		}
		if err == nil {
			err = fmt.Errorf("%s %s: status %d", r.Method, r.URL.Path, a.status)
		}
		if attempt >= c.opts.Retries {
			return nil, fmt.Errorf("asking the identity service %d times: %w", attempt+1, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("asking the identity service: %w", context.Cause(ctx))
		case <-time.After(pause):
		}
		pause *= 2
	}
}

func (c *identityClient) once(r *http.Request) (*answer, error) {
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "neutrino")
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &answer{status: resp.StatusCode, token: resp.Header.Get("X-Subject-Token")}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("%s %s: reading the answer: %w", r.Method, r.URL.Path, err)
	}
	if a.status != http.StatusOK && a.status != http.StatusCreated {
		return a, nil
	}
	var wrapped struct {
		Token tokenBody `json:"token"`
	}
	if json.Unmarshal(body, &wrapped) != nil {
		// What the answer holds is not told: it may be a secret.
		return nil, fmt.Errorf("%s %s: the answer is not the Identity API's", r.Method, r.URL.Path)
	}
	a.body = wrapped.Token
	return a, nil
}
