package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const cloudsYAML = `
clouds:
  plain:
    auth_type: none
    endpoint: ENDPOINT/v2.0/
  basic:
    auth_type: http_basic
    auth: {endpoint: ENDPOINT, username: ann, password: secret}
  north:
    region_name: north
    interface: public
    verify: false
    auth:
      auth_url: KEYSTONE/v3
      username: ann
      password: wrong
      user_domain_name: Default
      project_name: blue
      project_domain_name: Default
`

// written puts a clouds.yaml into a directory of its own.
func written(t *testing.T, content string, replace ...string) string {
	t.Helper()
	dir := t.TempDir()
	content = strings.NewReplacer(replace...).Replace(content)
	if err := os.WriteFile(filepath.Join(dir, "clouds.yaml"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestWhoIsCallingAndWhereTheAPIIs(t *testing.T) {
	dir := written(t, cloudsYAML, "ENDPOINT", "http://api.example", "KEYSTONE", "http://id.example")
	for name, story := range map[string]struct {
		env, options map[string]string
		want         auth
	}{
		"nothing is set":                     {want: auth{kind: authNone}},
		"OS_URL, as the old clients have it": {env: map[string]string{"OS_URL": "http://a:9696"}, want: auth{kind: authNone, endpoint: "http://a:9696"}},
		"an option beats the environment": {env: map[string]string{"OS_ENDPOINT": "http://a"}, options: map[string]string{"endpoint": "http://b"},
			want: auth{kind: authNone, endpoint: "http://b"}},
		"a password by the environment": {
			env:  map[string]string{"OS_AUTH_URL": "http://k/v3", "OS_USERNAME": "ann", "OS_PASSWORD": "s", "OS_TENANT_NAME": "blue", "OS_USER_DOMAIN_NAME": "D"},
			want: auth{kind: authPassword, authURL: "http://k/v3", username: "ann", password: "s", project: "blue", userDomain: "D"}},
		"a token":                {env: map[string]string{"OS_TOKEN": "t", "OS_AUTH_URL": "http://k"}, want: auth{kind: authToken, token: "t", authURL: "http://k"}},
		"v3password is password": {env: map[string]string{"OS_AUTH_TYPE": "v3password"}, want: auth{kind: authPassword}},
		"a cloud":                {env: map[string]string{"OS_CLOUD": "plain"}, want: auth{kind: authNone, endpoint: "http://api.example/v2.0/"}},
		"a cloud is not mixed with the environment": {env: map[string]string{"OS_CLOUD": "north", "OS_PASSWORD": "other", "OS_TOKEN": "t"}, options: map[string]string{"project-name": "red"},
			want: auth{kind: authPassword, authURL: "http://id.example/v3", username: "ann", password: "wrong", userDomain: "Default",
				project: "red", projectDomain: "Default", region: "north", iface: "public", insecure: true}},
		"a cloud by an option": {options: map[string]string{"cloud": "basic"}, want: auth{kind: authBasic, endpoint: "http://api.example", username: "ann", password: "secret"}},
	} {
		got, err := from(story.env, t.TempDir(), dir).resolve(story.options)
		if err != nil || got != story.want {
			t.Errorf("%s:\ngot  %+v, %v\nwant %+v", name, got, err, story.want)
		}
	}
}

func TestCloudsAreLookedForInOrderAndNamedWhenMissing(t *testing.T) {
	first, second := written(t, "clouds: {one: {endpoint: http://first}}"), written(t, "clouds: {one: {endpoint: http://second}}")
	got, err := from(nil, first, second).resolve(map[string]string{"cloud": "one"})
	if err != nil || got.endpoint != "http://first" {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(second, "secure.yaml"), []byte("clouds: {one: {auth: {password: hidden}}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err = from(nil, second).resolve(map[string]string{"cloud": "one"})
	if err != nil || got.password != "hidden" {
		t.Errorf("secure.yaml: %+v, %v", got, err)
	}
	for dir, words := range map[string]string{
		first: "has no cloud two; it has one", t.TempDir(): "there is no clouds.yaml in", written(t, "clouds: ["): "clouds.yaml: yaml:",
	} {
		if _, err := from(nil, dir).resolve(map[string]string{"cloud": "two"}); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("got %v, want %s", err, words)
		}
	}
}

func TestAPasswordIsTakenToKeystone(t *testing.T) {
	c := web(t)
	var bodies []string
	identity := c.keystone(&bodies)
	c.source = from(nil, written(t, cloudsYAML, "ENDPOINT", c.url, "KEYSTONE", identity))
	const north = " --os-cloud north --os-password secret"
	if got := c.run("neutrino network list -f value -c Name --external" + north); got != "public\n" {
		t.Errorf("got %q", got)
	}
	want := `{"auth":{"identity":{"methods":["password"],"password":{"user":{"domain":{"name":"Default"},"name":"ann","password":"secret"}}},` +
		`"scope":{"project":{"domain":{"name":"Default"},"name":"blue"}}}}`
	if len(bodies) != 1 || bodies[0] != want {
		t.Errorf("Keystone was asked %q", bodies)
	}
	c.refused("neutrino network list --os-cloud north", "log in at Keystone: The request you have made requires authentication. (HTTP 401 Unauthorized)")
	c.refused("neutrino network list --os-region-name east"+north, "has no public endpoint of type network in region east")
	c.run("neutrino network list --os-auth-type token --os-token a-token --os-region-name north --os-project-id blue --os-auth-url " + identity + "/v3")
	if last := bodies[len(bodies)-1]; last != `{"auth":{"identity":{"methods":["token"],"token":{"id":"a-token"}},"scope":{"project":{"id":"blue"}}}}` {
		t.Errorf("Keystone was asked %s", last)
	}
	if got := c.run("neutrino network list -f value -c Name --internal --os-cloud plain"); got != "web\n" {
		t.Errorf("by clouds.yaml without Keystone: %q", got)
	}
	// Options may stand before the command, as openstackclient has them.
	if got := c.run("neutrino --os-cloud plain network list -f value -c Name --internal"); got != "web\n" {
		t.Errorf("options first: %q", got)
	}
}

func TestWhatIsMissingToLogInIsSaid(t *testing.T) {
	c := newCloud(t)
	c.source = from(nil)
	for line, words := range map[string]string{
		"--os-auth-type magic":                      "--os-auth-type magic is unknown; there are none, http_basic, password, token and application_credential",
		"--os-auth-type password":                   "needs a user: set --os-username, OS_USERNAME or clouds.yaml",
		"--os-auth-type password --os-username ann": "needs the URL of Keystone",
		"--os-auth-type token":                      "needs a token",
		"--os-cacert /nowhere/ca.pem":               "read the certificates of --os-cacert",
	} {
		c.refused("neutrino network list "+line, words)
	}
}

func TestATokenIsNotSentOnToAnotherHost(t *testing.T) {
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	c := &cloud{t: t, source: from(nil)}
	c.refused("neutrino network list --os-token secret --os-endpoint "+server.URL, "which would get the token")
	if asked {
		t.Error("the other host was asked")
	}
}
