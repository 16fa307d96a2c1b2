# One role starts a task, another one works in it: the product itself may read no secret and pull
# no image.

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.here.account_id]
    }
  }
}

resource "aws_iam_role" "start" {
  name               = "${local.full_name}-start"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role" "work" {
  name               = "${local.full_name}-work"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

locals {
  # A value may be one key of a secret, which is written behind the secret's own seven parts.
  secret_arns = distinct([
    for arn in values(var.process.secrets) : join(":", slice(split(":", arn), 0, 7))
  ])
  is_in_ecr = can(regex("\\.dkr\\.ecr\\.", var.platform.image))
}

data "aws_iam_policy_document" "start" {
  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }

  statement {
    sid       = "Secrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = local.secret_arns
  }

  statement {
    sid       = "Keys"
    actions   = ["kms:Decrypt"]
    resources = var.platform.secrets_key_arns

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["secretsmanager.${data.aws_region.here.name}.amazonaws.com"]
    }
  }

  dynamic "statement" {
    for_each = local.is_in_ecr ? [regex("^(\\d+)\\.dkr\\.ecr\\.([a-z0-9-]+)\\.[^/]+/(.+)@", var.platform.image)] : []

    content {
      sid       = "Image"
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = ["arn:aws:ecr:${statement.value[1]}:${statement.value[0]}:repository/${statement.value[2]}"]
    }
  }

  # This one act knows no resource.
  dynamic "statement" {
    for_each = local.is_in_ecr ? ["token"] : []

    content {
      sid       = "Token"
      actions   = ["ecr:GetAuthorizationToken"]
      resources = ["*"]
    }
  }
}

resource "aws_iam_role_policy" "start" {
  name   = "start"
  role   = aws_iam_role.start.id
  policy = data.aws_iam_policy_document.start.json
}

# What the collector does with traces and metrics; Perdure itself calls no service of AWS.
data "aws_iam_policy_document" "work" {
  statement {
    sid       = "Metrics"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }

  # Traces know no resource.
  statement {
    sid       = "Traces"
    actions   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
    resources = ["*"]
  }
}

resource "aws_iam_role_policy" "work" {
  name   = "work"
  role   = aws_iam_role.work.id
  policy = data.aws_iam_policy_document.work.json
}
