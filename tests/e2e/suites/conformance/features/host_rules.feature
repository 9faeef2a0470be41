Feature: Rules by host
  A host is matched literally, a wildcard stands for exactly one label, and a host in the tls section has its certificate.

  Background:
    Given the backend "wildcard-foo-com"
    And the backend "foo-bar-com"
    And a TLS Secret "for-foo-bar-com" for "foo.bar.com"
    And the Ingress
      """
      metadata: {name: hosts}
      spec:
        tls: [{hosts: [foo.bar.com], secretName: for-foo-bar-com}]
        rules:
        - host: "*.foo.com"
          http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: wildcard-foo-com, port: {name: http}}}}]}
        - host: foo.bar.com
          http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: foo-bar-com, port: {name: http}}}}]}
      """
    And its status shows an address

  Scenario: A host over TLS
    When a client sends GET https://foo.bar.com
    Then the certificate shown is good for "foo.bar.com"
    And the answer is 200 from "foo-bar-com"
    And the backend saw the host "foo.bar.com"

  Scenario: The same host in clear text, which may lead to TLS
    When a client sends GET http://foo.bar.com
    Then the answer is 200 from "foo-bar-com"
    And the backend saw the host "foo.bar.com"

  Scenario: A name beside a host
    When a client sends GET http://subdomain.bar.com
    Then the answer is 404

  Scenario: One label in place of the wildcard
    When a client sends GET http://bar.foo.com
    Then the answer is 200 from "wildcard-foo-com"
    And the backend saw the host "bar.foo.com"

  Scenario: Two labels in place of the wildcard
    When a client sends GET http://baz.bar.foo.com
    Then the answer is 404

  Scenario: No label in place of the wildcard
    When a client sends GET http://foo.com
    Then the answer is 404
