resource "aws_route53_zone" "this" {
  name = var.domain
}

resource "aws_route53_record" "console" {
  zone_id = aws_route53_zone.this.zone_id
  name    = var.domain
  type    = "A"

  alias {
    name                   = var.address.name
    zone_id                = var.address.zone_id
    evaluate_target_health = true
  }
}

# One record for all: in DNS, unlike in certificates, a wildcard stands for any number of labels.
resource "aws_route53_record" "namespaces" {
  zone_id = aws_route53_zone.this.zone_id
  name    = "*.${var.domain}"
  type    = "A"

  alias {
    name                   = var.address.name
    zone_id                = var.address.zone_id
    evaluate_target_health = true
  }
}

resource "aws_route53_record" "issuers" {
  zone_id = aws_route53_zone.this.zone_id
  name    = var.domain
  type    = "CAA"
  ttl     = 3600
  records = [for authority in var.certificate_authorities : "0 issue \"${authority}\""]
}

resource "aws_route53_record" "private_domain" {
  for_each = var.has_private_domain ? toset(["proof"]) : toset([])

  zone_id = aws_route53_zone.this.zone_id
  name    = "${var.private_domain_proof[0].name}.${var.domain}"
  type    = "TXT"
  ttl     = 300
  records = [var.private_domain_proof[0].value]
}
