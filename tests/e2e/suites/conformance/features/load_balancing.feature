Feature: Several pods behind a Service
  All of them take part.

  Scenario: A hundred requests reach ten pods
    Given the backend "crowd"
    And the Ingress
      """
      metadata: {name: crowd}
      spec:
        rules:
        - host: crowd
          http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: crowd, port: {number: 8080}}}}]}
      """
    And its status shows an address
    When "crowd" is scaled to 10 pods
    Then 100 requests for http://crowd/, each on its own connection, are answered by 10 pods of "crowd"
