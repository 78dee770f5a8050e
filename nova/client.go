package nova

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"

	"neutrino"
)

// Options are those of Neutron's section [nova], whose names stand in brackets.
type Options struct {
	// AuthURL [auth_url] is the identity service: "http://controller:5000/v3"; the
	// /v3 may be missing.
	AuthURL string
	// The service account that tells Nova [username, password, project_name,
	// user_domain_name, project_domain_name]: Nova's policy wants the role admin.
	// The domains are Default by default.
	Username, Password, ProjectName, UserDomainName, ProjectDomainName string
	Region                                                             string        // [region_name] of Nova's endpoint; "" for any
	EndpointType                                                       string        // [endpoint_type]: public by default, internal, admin
	CAFile                                                             string        // [cafile] of certificates to trust instead of the system's
	Insecure                                                           bool          // [insecure] trusts any certificate
	Timeout                                                            time.Duration // [timeout] of one request; 0 is 30 s
	// Interval [DEFAULT send_events_interval] is between two messages; 0 is none,
	// so that one goes as soon as the one before it was answered.
	Interval time.Duration
	// Observe, where it is set, is told what became of each event.
	Observe func(name neutrino.EventName, o Outcome)
}

const defaultTimeout = 30 * time.Second

// complete checks the options and puts the defaults in.
func (o *Options) complete() error {
	for _, s := range []struct{ name, value string }{
		{"auth_url", o.AuthURL}, {"username", o.Username}, {"password", o.Password}, {"project_name", o.ProjectName},
	} {
		if s.value == "" {
			return fmt.Errorf("[nova] %s: not set; telling Nova needs a service account, or no [nova] auth_url at all", s.name)
		}
	}
	u, err := url.Parse(o.AuthURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("[nova] auth_url: not an address such as http://controller:5000/v3")
	}
	for _, s := range []struct {
		value    *string
		fallback string
	}{{&o.UserDomainName, "Default"}, {&o.ProjectDomainName, "Default"}, {&o.EndpointType, "public"}} {
		if *s.value == "" {
			*s.value = s.fallback
		}
	}
	// keystoneauth's older names end so.
	o.EndpointType = strings.TrimSuffix(o.EndpointType, "URL")
	switch gophercloud.Availability(o.EndpointType) {
	case gophercloud.AvailabilityPublic, gophercloud.AvailabilityInternal, gophercloud.AvailabilityAdmin:
	default:
		return fmt.Errorf("[nova] endpoint_type: %q is none of public, internal, admin", o.EndpointType)
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	return nil
}

// client speaks to Nova with an account of its own. It is used by one goroutine.
type client struct {
	opts Options
	http http.Client
	nova *gophercloud.ServiceClient // nil until logged in, and after a failure
}

func newClient(o *Options) (*client, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.Insecure}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("[nova] cafile: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("[nova] cafile: %s holds no certificate in PEM", o.CAFile)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return &client{opts: *o, http: http.Client{
		Transport: transport, Timeout: o.Timeout,
		// A redirect would carry our token to whoever the answer names.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// logIn gets a token, which is renewed by itself when its time is over, and finds
// Nova in the catalog that comes with it.
func (c *client) logIn(ctx context.Context) error {
	o := c.opts
	provider, err := openstack.NewClient(o.AuthURL)
	if err != nil {
		return fmt.Errorf("[nova] auth_url: %w", err)
	}
	provider.HTTPClient = c.http
	provider.UserAgent.Prepend("neutrino")
	err = openstack.AuthenticateV3(ctx, provider, &gophercloud.AuthOptions{
		Username: o.Username, Password: o.Password, DomainName: o.UserDomainName, AllowReauth: true,
		Scope: &gophercloud.AuthScope{ProjectName: o.ProjectName, DomainName: o.ProjectDomainName},
	}, gophercloud.EndpointOpts{})
	if gophercloud.ResponseCodeIs(err, http.StatusUnauthorized) {
		return fmt.Errorf("POST /v3/auth/tokens: status 401: check [nova] username (%q), password, project_name (%q) and their domains",
			o.Username, o.ProjectName)
	}
	if err != nil {
		return fmt.Errorf("log in to the identity service at %s: %w", o.AuthURL, err)
	}
	found, err := openstack.NewComputeV2(provider, gophercloud.EndpointOpts{
		Region: o.Region, Availability: gophercloud.Availability(o.EndpointType),
	})
	if err != nil {
		return fmt.Errorf("the catalog has no %s endpoint of the compute service in region %q: check [nova] region_name and endpoint_type: %w",
			o.EndpointType, o.Region, err)
	}
	c.nova = found
	return nil
}

// wireEvent is an event as Nova reads it, and as it answers it.
type wireEvent struct {
	Name     neutrino.EventName `json:"name"`
	ServerID string             `json:"server_uuid"`
	Tag      neutrino.ID        `json:"tag"`
	Status   string             `json:"status,omitempty"`
	Code     int                `json:"code,omitempty"`
}

type wireEvents struct {
	Events []wireEvent `json:"events"`
}

// completed is the status of an event about a port's wiring.
const completed = "completed"

func toWire(e event) wireEvent {
	w := wireEvent{Name: e.Name, ServerID: e.ServerID, Tag: e.PortID}
	if e.Name == neutrino.VIFPlugged || e.Name == neutrino.VIFUnplugged {
		w.Status = completed
	}
	return w
}

// refusal is Nova's word that it will never take a message as it is.
type refusal struct {
	status int
	said   string
}

// Error is what Nova said.
func (r *refusal) Error() string { return fmt.Sprintf("Nova refuses: %d: %s", r.status, r.said) }

// send tells Nova of the events, and is the code that it gave to each; 0 where it
// gave none. The error is a refusal, or whatever kept Nova from answering; no
// error holds a token or the password. After one the next message logs in anew:
// Nova may have moved.
func (c *client) send(ctx context.Context, batch []event) ([]int, error) {
	codes, err := c.trySend(ctx, batch)
	var no *refusal
	if err != nil && !errors.As(err, &no) {
		c.nova = nil
	}
	return codes, err
}

func (c *client) trySend(ctx context.Context, batch []event) ([]int, error) {
	if c.nova == nil {
		if err := c.logIn(ctx); err != nil {
			return nil, err
		}
	}
	var body, answer wireEvents
	for _, e := range batch {
		body.Events = append(body.Events, toWire(e))
	}
	resp, err := c.nova.Post(ctx, c.nova.ServiceURL("os-server-external-events"), body, &answer,
		&gophercloud.RequestOpts{OkCodes: []int{http.StatusOK, http.StatusMultiStatus}})
	if resp != nil && resp.Body != nil {
		resp.Body.Close()
	}
	if err != nil {
		return c.failed(err, len(batch))
	}
	return answer.codes(body), nil
}

// failed reads what kept Nova from taking a message. Older releases answer 404
// when they know none of the servers, which is an answer to each event.
func (c *client) failed(err error, events int) ([]int, error) {
	var status gophercloud.ErrUnexpectedResponseCode
	if !errors.As(err, &status) {
		return nil, fmt.Errorf("POST /os-server-external-events: %w", err)
	}
	var fault struct {
		NotFound *struct{} `json:"itemNotFound"`
	}
	switch {
	case status.Actual == http.StatusNotFound && json.Unmarshal(status.Body, &fault) == nil && fault.NotFound != nil:
		codes := make([]int, events)
		for i := range codes {
			codes[i] = http.StatusNotFound
		}
		return codes, nil
	case status.Actual == http.StatusBadRequest || status.Actual == http.StatusRequestEntityTooLarge:
		return nil, &refusal{status.Actual, string(status.Body)}
	case status.Actual == http.StatusForbidden:
		return nil, fmt.Errorf("POST /os-server-external-events: status 403: the service account %q may not tell Nova: give it the role admin", c.opts.Username)
	}
	return nil, fmt.Errorf("POST /os-server-external-events: status %d: %.200s", status.Actual, status.Body)
}

// codes are those of the events of a message, in their order.
func (a wireEvents) codes(sent wireEvents) []int {
	type key struct {
		name   neutrino.EventName
		server string
		tag    neutrino.ID
	}
	answered := map[key]int{}
	for _, e := range a.Events {
		answered[key{e.Name, e.ServerID, e.Tag}] = e.Code
	}
	codes := make([]int, len(sent.Events))
	for i, e := range sent.Events {
		codes[i] = answered[key{e.Name, e.ServerID, e.Tag}]
	}
	return codes
}
