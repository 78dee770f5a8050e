package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	asking "neutrino/auth"
)

func TestRefusalsCarryTheMessageAndTheRequest(t *testing.T) {
	c, keystone := operated(t)
	c.source = as("demo", keystone)
	for line, words := range map[string][2]string{
		"neutrino network create x --external":                                      {"disallowed by policy", "(HTTP 403 PolicyNotAuthorized) (Request-ID: req-"},
		"neutrino network create x --project p9":                                    {"requires admin privileges", "(HTTP 400 HTTPBadRequest) (Request-ID: req-"},
		"neutrino quota show admin-id":                                              {"quota of project admin-id", "(HTTP 403 AdminRequired) (Request-ID: req-"},
		"neutrino network agent set 11111111-2222-3333-4444-555555555555 --disable": {"No Agent found for 11111111", ""},
	} {
		c.refused(line, words[0])
		c.refused(line, words[1])
	}
	c.run("neutrino network create twice --tag x")
	c.run("neutrino subnet create s --network twice --subnet-range 10.1.0.0/24")
	c.run("neutrino port create p --network twice")
	c.refused("neutrino network delete twice", "(HTTP 409 NetworkInUse) (Request-ID: req-")
	c.refused("neutrino network list --os-auth-type token --os-token other --os-endpoint "+c.url, "(HTTP 401")
}

func TestProjectsAreNamed(t *testing.T) {
	c, keystone := operated(t)
	for line, want := range map[string]string{
		"neutrino network create a --project demo":                             "demo-id",
		"neutrino network create b --project demo-id":                          "demo-id",
		"neutrino network create c --project demo --project-domain Default":    "demo-id",
		"neutrino network create d --project demo-id --project-domain default": "demo-id",
		"neutrino network create e --project admin":                            "admin-id",
	} {
		if got := c.value(line, "project_id"); got != want {
			t.Errorf("%s: it is %s's", line, got)
		}
	}
	c.says("neutrino network list --project demo -f value -c Name --sort-column Name", "a\nb\nc\nd\n")
	c.says("neutrino network rbac create e --type network --action access_as_shared --target-project demo --target-project-domain Default -f json", `"target_project_id": "demo-id"`)
	c.run("neutrino quota set demo --networks 9")
	c.says("neutrino quota show demo -f json", `"networks": 9`, `"project": "demo-id"`)
	c.says("neutrino quota list --project demo -f value -c Networks", "9\n")
	c.run("neutrino quota delete demo")
	c.refused("neutrino network create f --project nobody", "No project with a name or ID of 'nobody' exists.")
	c.refused("neutrino network create f --project demo --project-domain elsewhere", "No domain with a name or ID of 'elsewhere' exists.")
	// Who may not look at Keystone's projects knows the own one, and ids.
	c.source = as("demo", keystone)
	c.says("neutrino network create g --project demo -f value -c project_id", "demo-id\n")
	c.says("neutrino quota show -f json", `"project": "demo-id"`)
	c.refused("neutrino network create h --project admin", "requires admin privileges")
}

func TestAnApplicationCredentialLogsIn(t *testing.T) {
	c := newCloudFor(t, users{})
	var logins []string
	keystone := identity(t, c.url, &logins)
	dir := written(t, `clouds: {app: {auth_type: v3applicationcredential, region_name: one, auth: {auth_url: KEYSTONE, application_credential_id: a1, application_credential_secret: secret}}}`, "KEYSTONE", keystone)
	for line, want := range map[string]string{
		"--os-cloud app": `{"auth":{"identity":{"application_credential":{"id":"a1","secret":"secret"},"methods":["application_credential"]}}}`,
		"--os-auth-url " + keystone + " --os-application-credential-name n --os-application-credential-secret secret --os-username demo --os-user-domain-name D": `{"auth":{"identity":` +
			`{"application_credential":{"name":"n","secret":"secret","user":{"domain":{"name":"D"},"name":"demo"}},"methods":["application_credential"]}}}`,
	} {
		c.source = from(nil, dir)
		c.run("neutrino network list " + line)
		if got := logins[len(logins)-1]; got != want {
			t.Errorf("%s asks Keystone\n%s\nwant\n%s", line, got, want)
		}
	}
	c.refused("neutrino network list --os-cloud app --os-application-credential-secret wrong", "log in at Keystone: no (HTTP 401")
	c.source = from(nil)
	c.refused("neutrino network list --os-auth-type v3applicationcredential", "needs an application credential: set --os-application-credential-id")
	c.refused("neutrino network list --os-application-credential-id a1", "needs the secret")
}

func TestHTTPBasicLogsIn(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(file, []byte("ann:"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	who, err := asking.Basic(file)
	if err != nil {
		t.Fatal(err)
	}
	c := newCloudFor(t, who)
	c.source = from(nil, written(t, cloudsYAML, "ENDPOINT", c.url, "KEYSTONE", "http://id.example"))
	c.run("neutrino network create web --os-cloud basic")
	c.source = from(map[string]string{"OS_AUTH_TYPE": "http_basic", "OS_ENDPOINT": c.url, "OS_USERNAME": "ann", "OS_PASSWORD": "secret"})
	if got := strings.TrimSpace(c.run("neutrino network list -f value -c Name")); got != "web" {
		t.Errorf("networks: %s", got)
	}
	c.refused("neutrino network list --os-password wrong", "(HTTP 401")
	c.refused("neutrino network list --os-auth-type none", "(HTTP 401")
}
