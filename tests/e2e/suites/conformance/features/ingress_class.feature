Feature: An Ingress of a class that nobody serves
  Portico leaves it alone.

  Scenario: A class that does not exist
    Given the backend "unreached"
    When the Ingress
      """
      metadata: {name: foreign}
      spec:
        ingressClassName: some-invalid-class-name
        defaultBackend: {service: {name: unreached, port: {number: 8080}}}
      """
    Then its status stays empty
