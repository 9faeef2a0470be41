Feature: Rules by path
  Exact is the whole path, Prefix goes by whole elements, case counts, the longest path wins and Exact before Prefix.

  Background:
    Given the backends "foo-exact, foo-prefix, aaa-slash-bbb-prefix, aaa-prefix, aaa-slash-bbb-slash-prefix, foo-slash-exact"
    And the Ingress
      """
      metadata: {name: paths}
      spec:
        rules:
        - host: exact-path-rules
          http:
            paths:
            - {path: /foo, pathType: Exact, backend: {service: {name: foo-exact, port: {number: 8080}}}}
        - host: prefix-path-rules
          http:
            paths:
            - {path: /foo, pathType: Prefix, backend: {service: {name: foo-prefix, port: {number: 8080}}}}
            - {path: /aaa/bbb, pathType: Prefix, backend: {service: {name: aaa-slash-bbb-prefix, port: {number: 8080}}}}
            - {path: /aaa, pathType: Prefix, backend: {service: {name: aaa-prefix, port: {number: 8080}}}}
        - host: mixed-path-rules
          http:
            paths:
            - {path: /foo, pathType: Prefix, backend: {service: {name: foo-prefix, port: {number: 8080}}}}
            - {path: /foo, pathType: Exact, backend: {service: {name: foo-exact, port: {number: 8080}}}}
        - host: trailing-slash-path-rules
          http:
            paths:
            - {path: /aaa/bbb/, pathType: Prefix, backend: {service: {name: aaa-slash-bbb-slash-prefix, port: {number: 8080}}}}
            - {path: /foo/, pathType: Exact, backend: {service: {name: foo-slash-exact, port: {number: 8080}}}}
      """
    And its status shows an address

  Scenario Outline: <host><path> matches: <why>
    When a client sends GET http://<host><path>
    Then the answer is 200 from "<backend>"

    Examples:
      | host                      | path         | backend                    | why                              |
      | exact-path-rules          | /foo         | foo-exact                  | the exact path                   |
      | prefix-path-rules         | /foo         | foo-prefix                 | the prefix itself                |
      | prefix-path-rules         | /foo/        | foo-prefix                 | a slash after the prefix         |
      | prefix-path-rules         | /aaa/bbb     | aaa-slash-bbb-prefix       | the longer prefix itself         |
      | prefix-path-rules         | /aaa/bbb/ccc | aaa-slash-bbb-prefix       | the longer of two prefixes       |
      | prefix-path-rules         | /aaa/ccc     | aaa-prefix                 | the shorter prefix               |
      | prefix-path-rules         | /foo/        | foo-prefix                 | once more, on a known route      |
      | mixed-path-rules          | /foo         | foo-exact                  | Exact before an equal Prefix     |
      | trailing-slash-path-rules | /aaa/bbb     | aaa-slash-bbb-slash-prefix | a prefix without its last slash  |
      | trailing-slash-path-rules | /aaa/bbb/    | aaa-slash-bbb-slash-prefix | a prefix with its last slash     |

  Scenario Outline: <host><path> matches nothing: <why>
    When a client sends GET http://<host><path>
    Then the answer is 404

    Examples:
      | host                      | path    | why                                |
      | exact-path-rules          | /foo/   | a slash too many for Exact         |
      | exact-path-rules          | /FOO    | case counts for Exact              |
      | exact-path-rules          | /bar    | another path                       |
      | prefix-path-rules         | /FOO    | case counts for Prefix             |
      | prefix-path-rules         | /aaaccc | an element that only begins alike  |
      | trailing-slash-path-rules | /foo    | a slash too few for Exact          |
