locals {
  # What the collectors of all processes write to.
  metrics = "Perdure/${var.name}"

  alarms = jsondecode(file("${path.module}/alarms.json"))

  # One alarm for each place that its metric is measured at. The collector calls a process's metrics
  # by its service.
  parts = { for key, service in var.services : key => { part = service.name } }
  measured_at = {
    edge = { frontend = {
      LoadBalancer = var.edge.load_balancer
      TargetGroup  = var.edge.target_group
    } }
    frontend      = { for key, part in local.parts : key => part if var.services[key].process == "frontend" }
    control-plane = { for key, part in local.parts : key => part if var.services[key].process == "control-plane" }
    cell          = { for key, part in local.parts : key => part if var.services[key].process == "cell" }
    service       = local.parts
    task          = { for key, service in var.services : key => { ClusterName = var.cluster_name, ServiceName = service.name } }
    database      = { for key, cluster in var.databases : key => { DBClusterIdentifier = cluster } }
  }

  watched = merge([
    for name, alarm in local.alarms : {
      for place, dimensions in local.measured_at[alarm.measured_at] :
      "${name}-${place}" => merge(alarm, {
        namespace  = alarm.namespace == "Perdure" ? local.metrics : alarm.namespace
        dimensions = merge(dimensions, alarm.dimensions)
        threshold  = alarm.threshold == "tasks" ? var.services[place].task_count : alarm.threshold
      })
    }
  ]...)
}

data "aws_caller_identity" "here" {}

data "aws_partition" "here" {}

data "aws_region" "here" {}

data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109: the resource of a key policy is the key that it belongs to
  #checkov:skip=CKV_AWS_111: the resource of a key policy is the key that it belongs to
  #checkov:skip=CKV_AWS_356: the resource of a key policy is the key that it belongs to
  statement {
    sid       = "Logs"
    actions   = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["logs.${data.aws_region.here.name}.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:${data.aws_partition.here.partition}:logs:${data.aws_region.here.name}:${data.aws_caller_identity.here.account_id}:*"]
    }
  }

  statement {
    sid       = "Alarms"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey*"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }
  }
}

module "key" {
  source = "../key"

  name        = "${var.name}-logs"
  description = "${var.name}: logs and alarms"
  statements  = [data.aws_iam_policy_document.key.json]
}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = module.key.arn
}

resource "aws_sns_topic_subscription" "mail" {
  for_each = toset(var.told)

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.watched

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.why
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.is_below ? "LessThanThreshold" : "GreaterThanThreshold"
  threshold           = each.value.threshold
  period              = each.value.seconds
  evaluation_periods  = each.value.periods
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  # One widget for each metric that has an alarm, with all places that it is measured at.
  dashboard_body = jsonencode({
    widgets = [
      for index, name in sort(keys(local.alarms)) : {
        type   = "metric"
        x      = (index % 3) * 8
        y      = floor(index / 3) * 6
        width  = 8
        height = 6
        properties = {
          title  = local.alarms[name].title
          region = data.aws_region.here.name
          stat   = local.alarms[name].statistic
          period = local.alarms[name].seconds
          metrics = [
            for key, alarm in local.watched : concat(
              [alarm.namespace, alarm.metric],
              flatten([for dimension, value in alarm.dimensions : [dimension, value]]),
            ) if alarm.title == local.alarms[name].title
          ]
        }
      }
    ]
  })
}
