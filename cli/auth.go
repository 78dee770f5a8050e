package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
)

// DefaultEndpoint is where the API is looked for when nothing names it: the
// server's own default.
const DefaultEndpoint = "http://127.0.0.1:9696"

// authKind is a way to say who is calling, as --os-auth-type names it.
type authKind string

const (
	authNone     authKind = "none"
	authBasic    authKind = "http_basic"
	authPassword authKind = "password"
	authToken    authKind = "token"
	// authApplication is a login with an application credential.
	authApplication authKind = "application_credential"
)

func (k authKind) needsToken() bool {
	return k == authPassword || k == authToken || k == authApplication
}

// auth is who is calling, and where the API is: what the options, the
// environment and clouds.yaml say together.
type auth struct {
	kind                           authKind
	endpoint, authURL              string
	region, iface                  string
	username, userID, password     string
	userDomain, userDomainID       string
	token                          string
	application, applicationID     string // the application credential's name or id
	secret                         string // of the application credential
	project, projectID             string
	projectDomain, projectDomainID string
	system                         string
	caFile, certFile, keyFile      string
	insecure                       bool
}

// client is the client for who is calling. It makes no connection.
func (a auth) client() (*client, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	var err error
	if transport.TLSClientConfig, err = a.tls(); err != nil {
		return nil, err
	}
	c := &client{http: &http.Client{Transport: transport, Timeout: patience, CheckRedirect: sameHost}, auth: a, header: http.Header{}}
	c.endpoint = trimVersion(a.endpoint)
	if !a.kind.needsToken() {
		c.endpoint = cmp.Or(c.endpoint, DefaultEndpoint)
		if a.projectID != "" {
			c.header.Set("X-Project-Id", a.projectID)
		}
	}
	return c, nil
}

// tls is whom the client trusts, and the certificate that it shows.
func (a auth) tls() (*tls.Config, error) {
	config := &tls.Config{InsecureSkipVerify: a.insecure}
	if a.caFile != "" {
		pem, err := os.ReadFile(a.caFile)
		if err != nil {
			return nil, fmt.Errorf("read the certificates of --os-cacert: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--os-cacert %s holds no certificate", a.caFile)
		}
	}
	if a.certFile != "" {
		pair, err := tls.LoadX509KeyPair(a.certFile, cmp.Or(a.keyFile, a.certFile))
		if err != nil {
			return nil, fmt.Errorf("read the certificate of --os-cert and its --os-key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// sameHost follows a redirection only on the same host: the token is for nobody
// else.
func sameHost(next *http.Request, before []*http.Request) error {
	if first := before[0].URL; next.URL.Host != first.Host || next.URL.Scheme != first.Scheme && next.URL.Scheme != "https" {
		return fmt.Errorf("%s sends on to %s, which would get the token", first.Host, next.URL.Host)
	}
	if len(before) > 5 {
		return fmt.Errorf("%s sends in circles", next.URL.Host)
	}
	return nil
}

// check finds what is missing before anything is sent.
func (a auth) check() error {
	missing := func(what, option string) error {
		return fmt.Errorf("--os-auth-type %s needs %s: set --os-%s, OS_%s or clouds.yaml",
			a.kind, what, option, strings.ToUpper(strings.ReplaceAll(option, "-", "_")))
	}
	known := []authKind{authNone, authBasic, authPassword, authToken, authApplication}
	switch {
	case !slices.Contains(known, a.kind):
		return fmt.Errorf("--os-auth-type %s is unknown; there are none, http_basic, password, token and application_credential", a.kind)
	case (a.kind == authBasic || a.kind == authPassword) && a.username == "" && a.userID == "":
		return missing("a user", "username")
	case a.kind == authToken && a.token == "":
		return missing("a token", "token")
	case a.kind == authApplication && a.applicationID == "" && a.application == "":
		return missing("an application credential", "application-credential-id")
	case a.kind == authApplication && a.applicationID == "" && a.username == "" && a.userID == "":
		return missing("the user of an application credential that is named, not given by its id", "username")
	case a.kind == authApplication && a.secret == "":
		return missing("the secret", "application-credential-secret")
	case (a.kind == authPassword || a.kind == authApplication) && a.authURL == "":
		return missing("the URL of Keystone", "auth-url")
	case a.kind == authToken && a.authURL == "" && a.endpoint == "":
		return missing("the URL of Keystone, or an endpoint", "auth-url")
	}
	return nil
}

// trimVersion drops the version that some set behind an endpoint.
func trimVersion(url string) string {
	return strings.TrimSuffix(strings.TrimRight(url, "/"), "/v2.0")
}

// login gets a token from Keystone, and the endpoint from its catalogue. A
// token with an endpoint needs no Keystone.
func (c *client) login(ctx context.Context) error {
	a := c.auth
	if a.kind == authToken && c.endpoint != "" {
		c.header.Set("X-Auth-Token", a.token)
		return nil
	}
	base := a.identityURL()
	req, err := newRequest(ctx, http.MethodPost, base+"/auth/tokens", a.identity())
	if err != nil {
		return err
	}
	body, header, err := c.send(req)
	if err != nil {
		return fmt.Errorf("log in at Keystone: %w", err)
	}
	token := header.Get("X-Subject-Token")
	if token == "" {
		return fmt.Errorf("log in at Keystone: %s gave no token", base)
	}
	c.project = projectOf(body)
	if c.endpoint == "" {
		found, err := networkEndpoint(body, a)
		if err != nil {
			return err
		}
		c.endpoint = trimVersion(found)
	}
	c.header.Set("X-Auth-Token", token)
	return nil
}

// identityURL is Keystone's, with the version.
func (a auth) identityURL() string {
	return strings.TrimSuffix(strings.TrimRight(a.authURL, "/"), "/v3") + "/v3"
}

// projectOf is the id and the name of the project that a token is for.
func projectOf(body []byte) named {
	var answer struct{ Token struct{ Project named } }
	if json.Unmarshal(body, &answer) != nil {
		return named{}
	}
	return answer.Token.Project
}

// identity is the body of POST /v3/auth/tokens.
func (a auth) identity() any {
	type dict = map[string]any
	methods := dict{"methods": []string{string(a.kind)}}
	user := dict{"id": a.userID}
	if a.userID == "" {
		user = dict{"name": a.username, "domain": domain(a.userDomain, a.userDomainID)}
	}
	switch {
	case a.kind == authToken:
		methods["token"] = dict{"id": a.token}
	case a.kind == authPassword:
		user["password"] = a.password
		methods["password"] = dict{"user": user}
	case a.applicationID != "":
		methods[string(authApplication)] = dict{"id": a.applicationID, "secret": a.secret}
	default:
		methods[string(authApplication)] = dict{"name": a.application, "secret": a.secret, "user": user}
	}
	body := dict{"identity": methods}
	switch {
	case a.kind == authApplication: // it is for one project, and Keystone takes no scope
	case a.projectID != "":
		body["scope"] = dict{"project": dict{"id": a.projectID}}
	case a.project != "":
		body["scope"] = dict{"project": dict{"name": a.project, "domain": domain(a.projectDomain, a.projectDomainID)}}
	case a.system != "":
		body["scope"] = dict{"system": dict{"all": true}}
	}
	return dict{"auth": body}
}

func domain(name, id string) map[string]string {
	if id == "" && name != "" {
		return map[string]string{"name": name}
	}
	return map[string]string{"id": cmp.Or(id, "default")}
}

// networkEndpoint finds the endpoint of service type network in a token.
func networkEndpoint(body []byte, a auth) (string, error) {
	var answer struct {
		Token struct {
			Catalog []struct {
				Type      string
				Endpoints []struct {
					Interface, URL, Region string
					RegionID               string `json:"region_id"`
				}
			}
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", fmt.Errorf("read Keystone's catalogue: %w", err)
	}
	want := strings.TrimSuffix(cmp.Or(a.iface, "public"), "URL")
	for _, service := range answer.Token.Catalog {
		if service.Type != "network" {
			continue
		}
		for _, e := range service.Endpoints {
			region := a.region == "" || e.Region == a.region || e.RegionID == a.region
			if region && strings.TrimSuffix(e.Interface, "URL") == want {
				return e.URL, nil
			}
		}
	}
	where := ""
	if a.region != "" {
		where = " in region " + a.region
	}
	return "", fmt.Errorf("Keystone's catalogue has no %s endpoint of type network%s", want, where)
}
