Feature: An Ingress without rules
  Its default backend answers every request, whatever host, path and method.

  Background:
    Given the backend "catch-all"
    And the Ingress
      """
      metadata: {name: no-rules}
      spec:
        defaultBackend: {service: {name: catch-all, port: {number: 8080}}}
      """
    And its status shows an address

  Scenario Outline: <method> <url> goes to the default backend
    When a client sends <method> <url>
    Then the answer is 200 from "catch-all"
    And the answer is HTTP/1.1 with the fields "Content-Length, Content-Type, Date, Server"
    And the backend saw <method> "<path>" in HTTP/1.1 from "Go-http-client/1.1"

    Examples:
      | method | url                     | path      |
      | GET    | http://my-host/         | /         |
      | GET    | http://my-host/sub-path | /sub-path |
      | POST   | http://some-host/       | /         |
      | PUT    | http://ADDRESS/resource | /resource |
      | DELETE | http://some-host/resource | /resource |
      | PATCH  | http://my-host/resource | /resource |
