"""Cloud regions: their own factor where one is published, else the place where they lie."""

from __future__ import annotations

import csv
import functools

from ...files import file_digest
from .bundled import CLOUDS, bundled_file

GCP_YEAR = 2023
GCP_DIGEST = "15a674368b3fe9e0258008d28ed903ac6147b1f243053d0f5d4905183f7d05b2"
"""SHA-256 of codecarbon 3.3's impact.csv, which names no year. Its 40 factors are those of
Google's github.com/GoogleCloudPlatform/region-carbon-info, data/yearly/2023.csv (compared row by
row). Another table may be of another year, so then none is stated."""

AWS = {
    "USA-VA": "us-east-1",
    "USA-OH": "us-east-2",
    "USA-CA": "us-west-1",
    "USA-OR": "us-west-2",
    "USA": "us-gov-east-1 us-gov-west-1",
    "ARE": "me-central-1",
    "AUS": "ap-southeast-2 ap-southeast-4",
    "BHR": "me-south-1",
    "BRA": "sa-east-1",
    "CAN": "ca-central-1 ca-west-1",
    "CHE": "eu-central-2",
    "CHN": "cn-north-1 cn-northwest-1",
    "DEU": "eu-central-1",
    "ESP": "eu-south-2",
    "FRA": "eu-west-3",
    "GBR": "eu-west-2",
    "HKG": "ap-east-1",
    "IDN": "ap-southeast-3",
    "IND": "ap-south-1 ap-south-2",
    "IRL": "eu-west-1",
    "ISR": "il-central-1",
    "ITA": "eu-south-1",
    "JPN": "ap-northeast-1 ap-northeast-3",
    "KOR": "ap-northeast-2",
    "MEX": "mx-central-1",
    "MYS": "ap-southeast-5",
    "NZL": "ap-southeast-6",
    "SGP": "ap-southeast-1",
    "SWE": "eu-north-1",
    "THA": "ap-southeast-7",
    "TWN": "ap-east-2",
    "ZAF": "af-south-1",
}
"""Where the regions of AWS lie (docs.aws.amazon.com/global-infrastructure, "AWS Regions"). AWS
tells of GovCloud's no more than the country."""

AZURE = {
    "USA-AZ": "westus3",
    "USA-CA": "westus",
    "USA-IA": "centralus",
    "USA-IL": "northcentralus",
    "USA-TX": "southcentralus",
    "USA-VA": "eastus eastus2",
    "USA-WA": "westus2",
    "USA-WY": "westcentralus",
    "ARE": "uaecentral uaenorth",
    "AUS": "australiacentral australiacentral2 australiaeast australiasoutheast",
    "AUT": "austriaeast",
    "BEL": "belgiumcentral",
    "BRA": "brazilsouth brazilsoutheast",
    "CAN": "canadacentral canadaeast",
    "CHE": "switzerlandnorth switzerlandwest",
    "CHL": "chilecentral",
    "DEU": "germanynorth germanywestcentral",
    "DNK": "denmarkeast",
    "ESP": "spaincentral",
    "FRA": "francecentral francesouth",
    "GBR": "uksouth ukwest",
    "HKG": "eastasia",
    "IDN": "indonesiacentral",
    "IND": "centralindia southindia westindia",
    "IRL": "northeurope",
    "ISR": "israelcentral",
    "ITA": "italynorth",
    "JPN": "japaneast japanwest",
    "KOR": "koreacentral koreasouth",
    "MEX": "mexicocentral",
    "MYS": "malaysiawest",
    "NLD": "westeurope",
    "NOR": "norwayeast norwaywest",
    "NZL": "newzealandnorth",
    "POL": "polandcentral",
    "QAT": "qatarcentral",
    "SGP": "southeastasia",
    "SWE": "swedencentral",
    "ZAF": "southafricanorth southafricawest",
}
"""Where the regions of Azure lie (learn.microsoft.com/azure/reliability/regions-list)."""


@functools.cache
def gcp_factors() -> dict[str, float]:
    """Region of Google Cloud -> g CO2e a kWh of the grid it draws from."""
    with bundled_file(CLOUDS).open(encoding="utf-8-sig", newline="") as stream:
        # codecarbon 3.3 spells me-central1 wrongly.
        return {
            row["region"].replace("cenrtal", "central"): float(row["impact"])
            for row in csv.DictReader(stream)
            if row["provider"] == "gcp"
        }


def gcp_year() -> int | None:
    """The year that the factors are of, None for a table that is not the one looked at."""
    return GCP_YEAR if file_digest(bundled_file(CLOUDS)) == GCP_DIGEST else None


@functools.cache
def region_places() -> dict[str, dict[str, str]]:
    """Cloud -> region -> code of the place in the tables; of Google's, their own name."""
    places = {
        cloud: {region: place for place, regions in table.items() for region in regions.split()}
        for cloud, table in (("aws", AWS), ("azure", AZURE))
    }
    return {**places, "gcp": {region: f"gcp:{region}" for region in gcp_factors()}}
